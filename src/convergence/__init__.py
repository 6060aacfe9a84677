"""Cost and usage of AI and cloud providers, per organization, exact to the cent."""

__version__ = "0.1.0"
