"""What can go wrong between us and a trading server, by what the caller may do next.

Mt5Error
├── Refused          the server answered and said no: its return code is data
├── NotSent          the command certainly did not run: it may be given again
│   ├── LoginRefused      wrong manager, password, address or rights
│   └── ServerNotGenuine  the server could not prove that it knows the password
├── ConnectionLost   a read failed twice: ask again later
├── OutcomeUnknown   a write was sent and its answer is lost or doubtful: look for evidence, never repeat blindly
└── UnexpectedReply  the reply is not of the documented form
"""

from __future__ import annotations

from apportion.mt5.retcodes import retcode_name


class Mt5Error(Exception):
    """Any failure of a Web API call."""


class Refused(Mt5Error):
    """The server refused the command; nothing was done."""

    def __init__(self, command: str, retcode: int) -> None:
        super().__init__(f"{command}: {retcode} {retcode_name(retcode)}")
        self.command = command
        self.retcode = retcode


class NotSent(Mt5Error):
    """The command did not reach a logged-in session, so it was not executed."""


class LoginRefused(NotSent):
    """The server refused the manager's login."""


class ServerNotGenuine(NotSent):
    """The server's proof of the password is wrong: it is not the server it claims to be."""


class ConnectionLost(Mt5Error):
    """A read could not be completed."""


class OutcomeUnknown(Mt5Error):
    """A write was sent, but no answer came, or one that says nothing: it may or may not have been executed."""


class UnexpectedReply(Mt5Error):
    """The reply cannot be understood."""
