# Metabase keeps its questions and dashboards in PostgreSQL: a container beside it, its files on a disk of their own that
# is copied every night. A Cloud SQL instance would cost more than the machine and need a peered network.
locals {
  docker_hub = "${var.region}-docker.pkg.dev/${var.project}/docker-hub"
}

resource "google_compute_disk" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  name = "${local.name}-metabase"
  type = "pd-balanced"
  zone = "${var.region}-a"
  size = 10

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_resource_policy" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  name   = "${local.name}-metabase"
  region = var.region

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "08:00"
      }
    }
    retention_policy {
      max_retention_days    = 14
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }
  }
}

resource "google_compute_disk_resource_policy_attachment" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  name = google_compute_resource_policy.metabase[0].name
  disk = google_compute_disk.metabase[0].name
  zone = google_compute_disk.metabase[0].zone
}

resource "google_compute_instance" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  name                      = "${local.name}-metabase"
  machine_type              = "e2-small"
  zone                      = "${var.region}-a"
  allow_stopping_for_update = true
  deletion_protection       = local.is_prod

  boot_disk {
    initialize_params {
      image = "cos-cloud/cos-stable"
      size  = 10
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source      = google_compute_disk.metabase[0].id
    device_name = "metabase"
  }

  # No access_config: no public address.
  network_interface {
    subnetwork = google_compute_subnetwork.dashboards[0].id
  }

  service_account {
    email  = google_service_account.metabase[0].email
    scopes = ["cloud-platform"] # what it may do is its account's roles
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    block-project-ssh-keys = "true"
    enable-oslogin         = "true"
    google-logging-enabled = "true"
    serial-port-enable     = "false"
    user-data = templatefile("${path.module}/metabase/cloud-init.yaml.tftpl", {
      prepare        = filebase64("${path.module}/metabase/prepare.sh")
      registry       = "${var.region}-docker.pkg.dev"
      metabase_image = "${local.docker_hub}/${var.metabase_image}"
      postgres_image = "${local.docker_hub}/${var.postgres_image}"
    })
  }

  depends_on = [google_artifact_registry_repository_iam_member.metabase]
}
