"""apportion.api.fees.v1.TermsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.fees.v1 import terms_pb2, terms_pb2_grpc
from apportion.fees import wire
from apportion.fees.operations.get_terms import get_terms
from apportion.fees.operations.list_terms import list_terms
from apportion.fees.operations.ports import Subscriptions, Wallets
from apportion.fees.operations.set_terms import set_terms
from apportion.rpc import caller, parse_filters, parse_id
from apportion.runtime import Clock
from apportion.storage import Page

Context = grpc.aio.ServicerContext[Any, Any]


class TermsServicer(terms_pb2_grpc.TermsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, subscriptions: Subscriptions, wallets: Wallets, clock: Clock) -> None:
        self._engine = engine
        self._subscriptions = subscriptions
        self._wallets = wallets
        self._clock = clock

    async def SetTerms(  # noqa: N802 (the RPC's name)
        self, request: terms_pb2.SetTermsRequest, context: Context
    ) -> terms_pb2.SetTermsResponse:
        command = wire.parse_set_terms(request)
        terms = await set_terms(self._engine, self._subscriptions, self._wallets, command, now=self._clock.now())
        return terms_pb2.SetTermsResponse(terms=wire.render_terms(terms))

    async def GetTerms(  # noqa: N802
        self, request: terms_pb2.GetTermsRequest, context: Context
    ) -> terms_pb2.GetTermsResponse:
        subscription_id = parse_id(request.subscription_id, "subscription_id")
        terms = await get_terms(self._engine, caller().label, subscription_id)
        return terms_pb2.GetTermsResponse(terms=wire.render_terms(terms))

    async def ListTerms(  # noqa: N802
        self, request: terms_pb2.ListTermsRequest, context: Context
    ) -> terms_pb2.ListTermsResponse:
        label, master_id = caller().label, request.master_id
        parse_filters(master_id=master_id)
        page = Page(request.page_size, request.page_token, "ListTerms", label, master_id)
        found = await list_terms(self._engine, label, master_id, after=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda terms: terms.subscription_id)
        return terms_pb2.ListTermsResponse(terms=map(wire.render_terms, shown), next_page_token=token)
