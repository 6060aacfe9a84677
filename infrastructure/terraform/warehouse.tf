# The platform's own tables. Organizations' datasets are made by the product when they are onboarded.
resource "google_bigquery_dataset" "organizations" {
  dataset_id                 = "organizations"
  location                   = var.bigquery_location
  description                = "Organizations, keys, credentials (sealed) and the record of runs"
  delete_contents_on_destroy = false
  max_time_travel_hours      = "168"

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}
