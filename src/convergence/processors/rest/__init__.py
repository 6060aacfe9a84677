"""Any API that answers with JSON, as a pipeline declares it."""
