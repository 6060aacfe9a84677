# With a domain: a load balancer with a certificate, in front of it Cloud Armor. Without: none of it.
locals {
  edge = var.domain == null || var.image == null ? {} : { api = var.domain }
}

resource "google_compute_global_address" "edge" {
  for_each = var.domain == null ? {} : { api = var.domain }

  name = "${local.name}-${each.key}"

  depends_on = [google_project_service.api]
}

resource "google_compute_region_network_endpoint_group" "edge" {
  for_each = local.edge

  name                  = "${local.name}-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloud_run_v2_service.service[each.key].name
  }
}

resource "google_compute_security_policy" "edge" {
  for_each = local.edge

  name = "${local.name}-${each.key}"

  # A coarse wall before the API's own limits, which are per organization.
  rule {
    action   = "throttle"
    priority = 1000
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = 1200
        interval_sec = 60
      }
    }
  }

  rule {
    action   = "deny(403)"
    priority = 900
    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  rule {
    action   = "allow"
    priority = 2147483647
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_backend_service" "edge" {
  for_each = local.edge

  name                  = "${local.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.edge[each.key].id

  backend {
    group = google_compute_region_network_endpoint_group.edge[each.key].id
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_url_map" "edge" {
  for_each = local.edge

  name            = "${local.name}-${each.key}"
  default_service = google_compute_backend_service.edge[each.key].id
}

resource "google_compute_managed_ssl_certificate" "edge" {
  for_each = local.edge

  name = "${local.name}-${each.key}"

  managed {
    domains = [each.value]
  }
}

resource "google_compute_ssl_policy" "edge" {
  for_each = local.edge

  name            = "${local.name}-${each.key}"
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "edge" {
  for_each = local.edge

  name             = "${local.name}-${each.key}"
  url_map          = google_compute_url_map.edge[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.edge[each.key].id]
  ssl_policy       = google_compute_ssl_policy.edge[each.key].id
}

# There is no port 80: a client that sends its key unencrypted is to fail, not to be redirected after the fact.
resource "google_compute_global_forwarding_rule" "edge" {
  for_each = local.edge

  name                  = "${local.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[each.key].id
  target                = google_compute_target_https_proxy.edge[each.key].id
  port_range            = "443"
}
