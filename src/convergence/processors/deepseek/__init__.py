"""DeepSeek: the console's export, balance, models and cost. Modules with an underscore are no processors."""
