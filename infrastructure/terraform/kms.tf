# A key ring can never be deleted, and without the key every stored credential is lost.
resource "google_kms_key_ring" "credentials" {
  name     = local.name
  location = var.region

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

# Wraps the data key of each provider credential. Old versions go on opening what they have sealed.
resource "google_kms_crypto_key" "credentials" {
  name                       = "credentials"
  key_ring                   = google_kms_key_ring.credentials.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days to think again

  lifecycle {
    prevent_destroy = true
  }
}
