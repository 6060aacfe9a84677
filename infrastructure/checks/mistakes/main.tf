# One of each kind of mistake, to see that the stand-in of the provider finds them.
terraform {
  required_providers {
    google = {
      source = "hashicorp/google"
    }
  }
}

# EXPECT An argument named "rotation" is not expected here
# EXPECT The argument "key_ring" is required
resource "google_kms_crypto_key" "mistaken" {
  name     = "credentials"
  rotation = "7776000s"
}

# EXPECT Insufficient replication blocks
resource "google_secret_manager_secret" "mistaken" {
  secret_id = "root-key"
}

# EXPECT Too many autoclass blocks
# EXPECT Inappropriate value for attribute "force_destroy"
resource "google_storage_bucket" "mistaken" {
  name          = "archive"
  location      = "us-central1"
  force_destroy = ["yes"]
  autoclass {
    enabled = true
  }
  autoclass {
    enabled = true
  }
}

# EXPECT Did you mean "google_storage_bucket"?
resource "google_storage_bucked" "mistaken" {
  name = "archive"
}
