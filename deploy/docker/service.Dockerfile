# One image per service: docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=allocation .
# Installs the named service and the libraries that services build on; dependencies come from the hash-pinned lock.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ARG SERVICE
WORKDIR /src
COPY locks/ locks/
RUN python -m venv /opt/apportion \
    && /opt/apportion/bin/pip install --no-cache-dir --require-hashes -r locks/runtime.txt \
    && python -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir --require-hashes -r locks/dev.txt
COPY protos/ protos/
COPY libs/ libs/
COPY services/${SERVICE}/ services/${SERVICE}/
RUN for home in protos libs/errors libs/money libs/runtime libs/rpc libs/storage libs/events libs/payments libs/mt5 services/${SERVICE}; do \
        PATH=/opt/tools/bin:$PATH /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels ./$home || exit 1; \
    done \
    && /opt/apportion/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM ${PYTHON}
ARG SERVICE
ENV APPORTION_SERVICE=${SERVICE} PATH=/opt/apportion/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/apportion /opt/apportion
COPY deploy/docker/entrypoint /usr/local/bin/entrypoint
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin apportion
USER 10001
ENTRYPOINT ["entrypoint"]
CMD ["run"]
