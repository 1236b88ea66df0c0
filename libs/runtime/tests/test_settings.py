from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from apportion.runtime import ServiceSettings


class FeesSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="FEES_")


URL = "postgresql://app:hunter2@db/fees"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {f"tls_{name}_file": tmp_path / f"{name}.pem" for name in ("certificate", "key", "ca")}
    for path in paths.values():
        path.touch()
    return paths


def test_settings_come_from_the_environment_and_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEES_DATABASE_URL", URL)
    monkeypatch.setenv("FEES_INSECURE", "true")
    monkeypatch.setenv("FEES_METRICS_ADDRESS", "")
    settings = FeesSettings.model_validate({})
    assert settings.database_url == URL
    assert settings.metrics_address is None
    with pytest.raises(ValidationError, match="frozen"):
        settings.log_level = "debug"


def test_passwords_are_not_in_the_text_forms() -> None:
    settings = FeesSettings(database_url=URL, redis_url="redis://:hunter2@cache:6379/1", insecure=True)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.described())
    assert settings.described()["database_url"] == "postgresql://app:***@db/fees"


def test_tls_is_whole_or_absent(files: dict[str, Path]) -> None:
    assert FeesSettings(database_url=URL, **files).tls_ca_file == files["tls_ca_file"]
    with pytest.raises(ValidationError, match="exclude each other"):
        FeesSettings(database_url=URL, insecure=True, **files)
    with pytest.raises(ValidationError, match="set tls_certificate_file"):
        FeesSettings(database_url=URL, tls_ca_file=files["tls_ca_file"])
    files["tls_key_file"].unlink()
    with pytest.raises(ValidationError, match="does not exist"):
        FeesSettings(database_url=URL, **files)


@pytest.mark.parametrize("address", ["", "localhost", ":80", "host:", "host:http", "host:65536"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        FeesSettings(database_url=URL, insecure=True, listen_address=address)
