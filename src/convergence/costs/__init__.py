"""Price books, seat plans, allocation and the cost report."""
