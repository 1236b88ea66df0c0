"""How many decimal digits the minor unit of a currency has: as told, or else by ISO 4217, list one."""

from __future__ import annotations

_CODES_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE "
    "CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
    "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR ZMW",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DIGITS = {code: digits for digits, codes in _CODES_BY_DIGITS.items() for code in codes.split()}


class UnknownCurrencyError(ValueError):
    """The code is not in ISO 4217, and nobody told its digits."""


def currency_digits(code: str, told: int | None = None) -> int:
    """Digits of the minor unit: USD 2, JPY 0, KWD 3.

    What a trading server tells of its accounts' currency always wins: a server may count JPY with 2 digits, and USC or
    BTC are in no list.
    """
    digits = _DIGITS.get(code) if told is None else told
    if digits is None:
        raise UnknownCurrencyError(f"{code!r} is no ISO 4217 currency code")
    return digits
