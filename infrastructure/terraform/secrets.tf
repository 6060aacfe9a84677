# Only the names: the values are added by a command (docs/howto/deploy-to-google-cloud.md) and never pass through
# terraform's state.
resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id = each.key

  annotations = {
    holds = each.value
  }

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

locals {
  secrets = {
    convergence-root-key    = "The root key of the API: CA_ROOT_API_KEY"
    convergence-root-secret = "What keyed hashes are made with; the same in every process"
  }
}
