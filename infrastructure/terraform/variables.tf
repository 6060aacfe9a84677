variable "project" {
  description = "Id of the Google Cloud project. One project holds one environment: the dataset `organizations` has one name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "environment" {
  description = "stage or prod; ends the names of the organizations' datasets."
  type        = string

  validation {
    condition     = contains(["stage", "prod"], var.environment)
    error_message = "stage or prod."
  }
}

variable "region" {
  description = "Region of everything but BigQuery."
  type        = string
  default     = "us-central1"
}

variable "bigquery_location" {
  description = "Location of every dataset. It cannot be changed once data is there."
  type        = string
  default     = "US"
}

variable "image" {
  description = "Image of both services, by digest. Null builds everything else: the first apply of an empty project, when there is no image and no secret yet."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by digest: a tag can be moved after the tests have passed."
  }
}

variable "domain" {
  description = "Host name of the API. Null serves it under Cloud Run's own name, without a load balancer and Cloud Armor."
  type        = string
  default     = null
}

variable "cors_origins" {
  description = "Origins of browsers that may call the API."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : startswith(origin, "https://") && !strcontains(origin, "*")])
    error_message = "Origins are https:// and have no `*`."
  }
}

variable "api_instances" {
  description = "Instances of the API: at least and at most."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 10 }
}

variable "worker_instances" {
  description = "Instances of the worker: at least and at most."
  type        = object({ min = number, max = number })
  default     = { min = 0, max = 10 }
}

variable "worker_concurrency" {
  description = "Runs at a time in one worker instance."
  type        = number
  default     = 5
}

variable "tick_schedule" {
  description = "How often due pipelines are looked for. A tick starts each slot once, however often it comes."
  type        = string
  default     = "*/10 * * * *"
}

variable "max_query_gib" {
  description = "A query that would bill more is refused."
  type        = number
  default     = 100
}

variable "daily_query_gib" {
  description = "Query volume of a day, over which an alert is sent."
  type        = number
  default     = 1024
}

variable "alert_emails" {
  description = "Who is told when runs fail, data is stale, requests fail or queries cost too much."
  type        = list(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "Name at least one address: an alert that nobody gets is none."
  }
}

variable "raw_page_days" {
  description = "Days that the providers' raw answers are kept for a replay."
  type        = number
  default     = 35

  validation {
    condition     = var.raw_page_days >= 35
    error_message = "35 or more: a window of 30 days must be rebuildable without the provider."
  }
}

variable "metabase" {
  description = "Whether the dashboards' virtual machine is built, and who may reach it through Identity-Aware Proxy (user:..., group:...)."
  type        = object({ enabled = bool, members = optional(list(string), []) })
  default     = { enabled = true }
}

variable "metabase_image" {
  description = "Image of Metabase on Docker Hub."
  type        = string
  default     = "metabase/metabase:v0.56.6"
}

variable "postgres_image" {
  description = "Image of PostgreSQL on Docker Hub; Metabase keeps its questions and dashboards there."
  type        = string
  default     = "library/postgres:17.6-bookworm"
}
