# The providers' raw answers, compressed, mounted into the services as their DATA_DIR.
resource "google_storage_bucket" "archive" {
  name                        = "${var.project}-convergence-archive"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = var.raw_page_days
    }
  }

  # Older pages are deleted on purpose, for the sake of what they hold; a bin would keep them.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  depends_on = [google_project_service.api]
}
