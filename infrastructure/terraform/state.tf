# Leases, counters and idempotency keys. Losing it loses no truth: it is rebuilt from the records in the warehouse.
resource "google_firestore_database" "state" {
  name                              = "(default)"
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  app_engine_integration_mode       = "DISABLED"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = local.is_prod ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = "DELETE"

  depends_on = [google_project_service.api]
}

# What has run out is ignored by the product at once and removed by Firestore within a day.
resource "google_firestore_field" "expiry" {
  database   = google_firestore_database.state.name
  collection = local.lock_collection
  field      = "expires_at"

  ttl_config {}
}

locals {
  lock_collection = "pipeline_locks"
}
