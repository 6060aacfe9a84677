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

# What has run out is ignored by the product at once; Firestore removes it within a day of this moment.
resource "google_firestore_field" "expiry" {
  database   = google_firestore_database.state.name
  collection = local.lock_collection
  field      = "delete_after"

  ttl_config {}

  # Nobody asks by this field, and an index of ever-growing moments would be a hot spot.
  index_config {}
}

locals {
  lock_collection = "pipeline_locks"
}
