"""Charges: the payments of this service."""

from __future__ import annotations

from apportion.fees.storage.tables import charges
from apportion.payments import Payments

CHARGES = Payments(charges, source="fees")
