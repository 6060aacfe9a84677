output "api_url" {
  description = "Where the API answers."
  value       = local.api_url
}

output "worker_url" {
  description = "Where Cloud Tasks and Cloud Scheduler call the worker; closed to everybody else."
  value       = local.worker_url
}

output "domain_address" {
  description = "The address that the domain's A record must name; null without a domain."
  value       = one([for address in google_compute_global_address.edge : address.address])
}

output "image_repository" {
  description = "Where the image is pushed to: docker push REPOSITORY/convergence."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "secrets" {
  description = "Secrets that need a version before the services can start, and what each holds."
  value       = local.secrets
}

output "service_accounts" {
  description = "Accounts of the parts, by name."
  value       = { for name, account in local.services : name => account.email }
}

output "kms_key" {
  description = "The key that wraps every credential's data key."
  value       = google_kms_crypto_key.credentials.id
}

output "archive_bucket" {
  description = "Where the providers' raw answers are kept."
  value       = google_storage_bucket.archive.name
}

output "scheduler_jobs" {
  description = "Jobs of Cloud Scheduler, by what they do."
  value       = { for name, job in google_cloud_scheduler_job.job : name => job.name }
}

output "metabase_reader" {
  description = "The account whose key Metabase signs in to BigQuery with; null without Metabase."
  value       = one(google_service_account.metabase_reader[*].email)
}

output "metabase_tunnel" {
  description = "Opens the dashboards on http://localhost:3000; null without Metabase."
  value = var.metabase.enabled ? join(" ", [
    "gcloud compute start-iap-tunnel ${google_compute_instance.metabase[0].name} 3000",
    "--local-host-port=localhost:3000 --zone=${google_compute_instance.metabase[0].zone} --project=${var.project}",
  ]) : null
}
