"""Proof that money is conserved, and usage, reports and invoices compared."""
