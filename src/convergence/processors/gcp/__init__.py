"""Google Cloud: the Cloud Billing export, from BigQuery or from a file."""
