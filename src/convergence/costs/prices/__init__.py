"""The price book: what a unit costs at list price, kept current, and past days priced anew."""
