# The network of the dashboards' virtual machine. Nothing in it has a public address, and nothing reaches the internet:
# images and BigQuery are reached through Private Google Access.
resource "google_compute_network" "dashboards" {
  count = var.metabase.enabled ? 1 : 0

  name                    = "${local.name}-dashboards"
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "dashboards" {
  count = var.metabase.enabled ? 1 : 0

  name                     = "${local.name}-dashboards"
  network                  = google_compute_network.dashboards[0].id
  region                   = var.region
  ip_cidr_range            = "10.80.0.0/28"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Identity-Aware Proxy's addresses; who may come through it is in access.tf.
resource "google_compute_firewall" "iap" {
  count = var.metabase.enabled ? 1 : 0

  name                    = "${local.name}-dashboards-iap"
  network                 = google_compute_network.dashboards[0].id
  direction               = "INGRESS"
  source_ranges           = ["35.235.240.0/20"]
  target_service_accounts = [google_service_account.metabase[0].email]

  allow {
    protocol = "tcp"
    ports    = ["22", "3000"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
