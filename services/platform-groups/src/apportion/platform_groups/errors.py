"""The reasons of platform-groups.

DomainError
├── INVALID          HostNotAllowed, PortRange, TimezoneUnknown, LeverageRange, AmountRange, SelfTransfer
├── ALREADY_EXISTS   NameTaken, DedupeConflict
├── PRECONDITION     ServerTypeUnsupported, GroupNotEnabled, GroupFull, GroupCurrencyMismatch, ServerGroupUnknown,
│                    CommentsHidden, MarginModeUnsupported, CurrencyDigitsUnsupported, WalletInvalid,
│                    AccountNotOpen, ServersMixed, CurrencyMismatch, CurrencyDigitsMismatch, LoginAmbiguous, KekMissing
├── CONFLICT         PasswordsNotReset
├── UNAVAILABLE      TradingServerUnavailable
└── INTERNAL         CredentialIntegrity
"""

from __future__ import annotations

from apportion.errors import DomainError, Kind


class NameTaken(DomainError):
    """The name is in use in this label."""

    kind = Kind.ALREADY_EXISTS
    reason = "NAME_TAKEN"
    cure = "Choose another name."


class HostNotAllowed(DomainError):
    """The host is this machine, its own network link or a metadata service."""

    kind = Kind.INVALID
    reason = "HOST_NOT_ALLOWED"
    cure = "Name the trading server's own address; a simulator on loopback needs allow_loopback_servers."


class PortRange(DomainError):
    """The port is not from 1 to 65535."""

    kind = Kind.INVALID
    reason = "PORT_RANGE"
    cure = "Send the port on which the access server listens, usually 443."


class TimezoneUnknown(DomainError):
    """The time zone is not an IANA name."""

    kind = Kind.INVALID
    reason = "TIMEZONE_UNKNOWN"
    cure = "Send a name such as Europe/Helsinki."


class ServerTypeUnsupported(DomainError):
    """There is no adapter for this type of trading server."""

    kind = Kind.PRECONDITION
    reason = "SERVER_TYPE_UNSUPPORTED"
    cure = "Register an MT5 server."


class LeverageRange(DomainError):
    """The leverage is out of the server's range."""

    kind = Kind.INVALID
    reason = "LEVERAGE_RANGE"
    cure = "Send a leverage from 1 to 500, or 0 for the group's default."


class GroupNotEnabled(DomainError):
    """The platform group takes no new accounts."""

    kind = Kind.PRECONDITION
    reason = "GROUP_NOT_ENABLED"
    cure = "Use another group, or enable this one."


class GroupFull(DomainError):
    """The platform group holds as many accounts as it may."""

    kind = Kind.PRECONDITION
    reason = "GROUP_FULL"
    cure = "Use another group, or raise its capacity."


class CommentsHidden(DomainError):
    """The trading server hides the comments by which we know our own accounts: a second one could be made."""

    kind = Kind.PRECONDITION
    reason = "COMMENTS_HIDDEN"
    cure = "Give the manager the right to the personal data of accounts; it is looked at again every minute."


class ServerGroupUnknown(DomainError):
    """The trading server has no such group, or our manager may not see it."""

    kind = Kind.PRECONDITION
    reason = "SERVER_GROUP_UNKNOWN"
    cure = "Check the group's path on the server and the manager's group mask."


class GroupCurrencyMismatch(DomainError):
    """The group on the server has another currency."""

    kind = Kind.PRECONDITION
    reason = "GROUP_CURRENCY_MISMATCH"
    cure = "Send the currency that the server's group has."


class MarginModeUnsupported(DomainError):
    """The group on the server holds positions in a way that we cannot follow."""

    kind = Kind.PRECONDITION
    reason = "MARGIN_MODE_UNSUPPORTED"
    cure = "Use a group of hedging or netting accounts; exchange margin modes are not supported."


class CurrencyDigitsUnsupported(DomainError):
    """The group on the server counts its currency with digits that no money has."""

    kind = Kind.PRECONDITION
    reason = "CURRENCY_DIGITS_UNSUPPORTED"
    cure = "Correct CurrencyDigits of the group on the server: 0 to 8."


class WalletInvalid(DomainError):
    """The account needs an open wallet of the same label, and a wallet needs none."""

    kind = Kind.PRECONDITION
    reason = "WALLET_INVALID"
    cure = "Create the person's wallet first and name it; send 0 for a wallet."


class AccountNotOpen(DomainError):
    """The account is not OPEN."""

    kind = Kind.PRECONDITION
    reason = "ACCOUNT_NOT_OPEN"
    cure = "Wait until it is created, or use another account."


class ServersMixed(DomainError):
    """The accounts of one call are on several trading servers."""

    kind = Kind.PRECONDITION
    reason = "SERVERS_MIXED"
    cure = "Ask for the accounts of each trading server by themselves."


class LoginAmbiguous(DomainError):
    """Two trading servers of the label have an account with this login."""

    kind = Kind.PRECONDITION
    reason = "LOGIN_AMBIGUOUS"
    cure = "Ask by account_id."


class DedupeConflict(DomainError):
    """An item with this source and id exists with other content."""

    kind = Kind.ALREADY_EXISTS
    reason = "DEDUPE_CONFLICT"
    cure = "An item never changes: give new content a new item id."


class CurrencyMismatch(DomainError):
    """The amount is not in the account's currency."""

    kind = Kind.PRECONDITION
    reason = "CURRENCY_MISMATCH"
    cure = "Send the amount in the account's own currency."


class CurrencyDigitsMismatch(DomainError):
    """The two accounts count their currency with different digits: a minor unit of the one is none of the other."""

    kind = Kind.PRECONDITION
    reason = "CURRENCY_DIGITS_MISMATCH"
    cure = "Use accounts whose groups have the same CurrencyDigits on their trading servers."


class SelfTransfer(DomainError):
    """The same account is debited and credited."""

    kind = Kind.INVALID
    reason = "SELF_TRANSFER"
    cure = "Name two different accounts."


class AmountRange(DomainError):
    """The amount is zero, negative where it may not be, or above the limit of one balance operation."""

    kind = Kind.INVALID
    reason = "AMOUNT_RANGE"
    cure = "Send an amount above 0 and up to 1,000,000,000 units of the currency."


class TradingServerUnavailable(DomainError):
    """The trading server did not answer."""

    kind = Kind.UNAVAILABLE
    reason = "TRADING_SERVER_UNAVAILABLE"
    cure = "Repeat with the same request id; look at the server's connection_state if it lasts."
    default_retry_after_seconds = 1.0


class PasswordsNotReset(DomainError):
    """Nobody can say whether the account has the new passwords: the server's answer was lost, or another reset ran."""

    kind = Kind.CONFLICT
    reason = "PASSWORDS_NOT_RESET"
    cure = "Reset them again with a new request id."


class KekMissing(DomainError):
    """The key that the credentials were sealed with is not loaded."""

    kind = Kind.PRECONDITION
    reason = "KEK_MISSING"
    cure = "Give the service the key-encryption key of that version."


class CredentialIntegrity(DomainError):
    """Stored credentials were altered or belong to another row."""

    kind = Kind.INTERNAL
    reason = "CREDENTIAL_INTEGRITY"
    cure = "Restore the row from a backup, or register the server again; find out who changed it."
