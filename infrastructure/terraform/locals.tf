data "google_project" "this" {
  project_id = var.project
}

locals {
  name = "convergence"

  # What the product calls the environment; its own word ends the names of datasets.
  environment = { stage = "staging", prod = "production" }[var.environment]
  is_prod     = var.environment == "prod"

  labels = {
    app         = local.name
    environment = var.environment
  }

  # Known before the services exist: each of them needs the worker's address, the worker too.
  api_url    = var.domain == null ? "https://${local.api_name}-${data.google_project.this.number}.${var.region}.run.app" : "https://${var.domain}"
  worker_url = "https://${local.worker_name}-${data.google_project.this.number}.${var.region}.run.app"

  api_name    = "${local.name}-api"
  worker_name = "${local.name}-worker"

  gib = 1024 * 1024 * 1024
}
