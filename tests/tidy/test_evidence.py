"""The eyes of the house rules: a mention is no use, and a call is one only where a test reaches it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from evidence import asserted, made, rpcs_called


def _module(folder: Path, source: str) -> list[Path]:
    path = folder / "module.py"
    path.write_text(dedent(source), encoding="utf-8")
    return [path]


def test_only_what_is_made_counts_as_raised(tmp_path: Path) -> None:
    paths = _module(
        tmp_path,
        '''
        """Says Mentioned, and Imported is only imported."""
        from errors import Caught, Imported, Raised, Returned, Tabled
        TABLE = {"name_key": Tabled}
        def work():
            try:
                raise Raised
            except Caught:
                return Returned("because")
        ''',
    )
    assert made(paths) & {"Mentioned", "Imported", "Caught", "Raised", "Returned", "Tabled"} == {
        "Raised",
        "Returned",
        "Tabled",
    }


def test_only_what_a_test_depends_on_counts_as_asserted(tmp_path: Path) -> None:
    paths = _module(
        tmp_path,
        '''
        CASES = [("x", "IN_A_TABLE")]
        def refused(call, reason):
            assert call() == reason
        class Stub:
            def answer(self):
                raise Thrown("ONLY_THROWN")
        @pytest.mark.parametrize(("name", "reason"), CASES)
        def test_it(name, reason):
            """IN_A_DOCSTRING"""
            refused(name, "BY_A_HELPER")
            stub("ONLY_PASSED")
            for case in ["ONLY_LOOPED"]:
                stub(case)
            for case in [(1, "IN_A_LOOP")]:
                with refused(case):
                    pass
            assert b"IN_BYTES" in name
            with pytest.raises(Expected):
                assert reason == "COMPARED"
        ''',
    )
    seen = asserted(paths)
    assert seen >= {"IN_A_TABLE", "BY_A_HELPER", "IN_A_LOOP", "Expected", "COMPARED"}
    assert any("IN_BYTES" in word for word in seen)
    assert not seen & {"ONLY_THROWN", "Thrown", "IN_A_DOCSTRING", "ONLY_PASSED", "ONLY_LOOPED"}


def test_only_a_call_on_a_stub_that_a_test_reaches_counts(tmp_path: Path) -> None:
    paths = _module(
        tmp_path,
        """
        class Client:
            def __init__(self, channel):
                self.masters = masters_pb2_grpc.MastersServiceStub(channel)
            async def create(self):
                return await self.masters.CreateMaster()
            async def nobody_calls_this(self):
                return await self.masters.HaltMaster()
        async def held(client):
            return await client.masters.ResumeMaster()
        async def test_it(client, held):
            await client.create()
            await client.other.GetMaster()
            await terms_pb2_grpc.TermsServiceStub(client).GetTerms()
        """,
    )
    assert rpcs_called(paths) == {
        ("MastersService", "CreateMaster"),
        ("MastersService", "ResumeMaster"),
        ("TermsService", "GetTerms"),
    }
