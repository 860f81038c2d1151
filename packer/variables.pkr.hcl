# What a bake can be told. Pins have no default here: their values are in release.auto.pkrvars.hcl.

# What goes into the image ---------------------------------------------------------------------------------------

variable "airkiln_version" {
  type        = string
  description = "Version of this project: part of the image's name and tags."

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+([-.][0-9A-Za-z.]+)?$", var.airkiln_version))
    error_message = "The airkiln_version is not a release number such as 1.2.3."
  }
}

variable "airflow_version" {
  type        = string
  description = "Version of Apache Airflow that the locked requirements install: for the image's name and tags."

  validation {
    condition     = can(regex("^3\\.[0-9]+\\.[0-9]+$", var.airflow_version))
    error_message = "The airflow_version is not a release of Airflow 3 such as 3.3.2."
  }
}

variable "commit" {
  type        = string
  description = "Git commit that is baked, for the tags and /etc/airkiln-release: -var commit=$(git rev-parse HEAD)."
  default     = "unknown"

  validation {
    condition     = can(regex("^(unknown|[0-9a-f]{7,40}(-dirty)?)$", var.commit))
    error_message = "The commit is neither a Git hash (with -dirty after it where files were changed) nor \"unknown\"."
  }
}

variable "architecture" {
  type        = string
  description = "Processor architecture by Debian's name, amd64 or arm64: chooses the source image and the instance type."
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture is neither amd64 nor arm64."
  }
}

# What it is made from -------------------------------------------------------------------------------------------

variable "source_ami_owner" {
  type        = string
  description = "AWS account that the source image must belong to."

  validation {
    condition     = can(regex("^[0-9]{12}$", var.source_ami_owner))
    error_message = "The source_ami_owner is not a twelve-digit AWS account number."
  }
}

variable "source_ami_name" {
  type        = map(string)
  description = "Name pattern of the source image for each architecture. The newest match is taken; a full name fixes it."
}

variable "root_device_name" {
  type        = string
  description = "Device name of the source image's root volume."
}

variable "ssh_username" {
  type        = string
  description = "User that the source image lets in with the key pair, and who may use sudo."
}

# Where and on what it is baked ----------------------------------------------------------------------------------

variable "region" {
  type        = string
  description = "AWS region of the bake and of the image. Empty: what AWS_REGION or the AWS configuration says."
  default     = ""
}

variable "instance_type" {
  type        = map(string)
  description = "Instance type of the build instance for each architecture."
}

variable "subnet_id" {
  type        = string
  description = "Subnet of the build instance, with a way to the package mirrors. Empty: the default VPC chooses."
  default     = ""
}

variable "associate_public_ip_address" {
  type        = bool
  description = "Whether the build instance gets a public address. Null: as the subnet says."
  default     = null
}

variable "iam_instance_profile" {
  type        = string
  description = "Instance profile of the build instance; ssh_interface session_manager needs one. Empty: none."
  default     = ""
}

variable "user_data_file" {
  type        = string
  description = "User data of the build instance; session_manager needs one that installs the SSM agent, which Debian's image lacks."
  default     = ""
}

variable "poll_seconds" {
  type        = number
  description = "Seconds between two questions to EC2 about the state of an instance or an image, asked for an hour at most."
  default     = 5

  validation {
    condition     = var.poll_seconds >= 1 && var.poll_seconds <= 60
    error_message = "The poll_seconds are not from 1 to 60."
  }
}

# How it is reached ----------------------------------------------------------------------------------------------

variable "ssh_interface" {
  type        = string
  description = "Address of the build instance that is connected to: public_ip, private_ip or session_manager."
  default     = "public_ip"

  validation {
    condition     = contains(["public_ip", "private_ip", "session_manager"], var.ssh_interface)
    error_message = "The ssh_interface is none of public_ip, private_ip and session_manager."
  }
}

variable "ssh_source_cidrs" {
  type        = list(string)
  description = "Networks that may reach SSH on the build instance. Empty: only the caller's own public address."
  default     = []

  validation {
    condition     = alltrue([for cidr in var.ssh_source_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "One of the ssh_source_cidrs is not a network such as 203.0.113.7/32, or is the whole Internet."
  }
}

variable "ssh_timeout" {
  type        = string
  description = "How long the build instance may take until SSH answers, such as 5m."
  default     = "5m"
}

# The image ------------------------------------------------------------------------------------------------------

variable "volume_size" {
  type        = number
  description = "Size of the image's root volume (gp3), in GiB."
  default     = 12

  validation {
    condition     = var.volume_size >= 8 && var.volume_size <= 1024
    error_message = "The volume_size is not from 8 to 1024 GiB."
  }
}

variable "kms_key_id" {
  type        = string
  description = "KMS key that encrypts the image and its snapshot: id, alias or ARN. Empty: the account's aws/ebs key, which cannot be shared."
  default     = ""
}

variable "deprecate_after_days" {
  type        = number
  description = "Days after which EC2 marks the image as deprecated; it still launches."
  default     = 365

  validation {
    condition     = var.deprecate_after_days >= 1 && var.deprecate_after_days <= 3650
    error_message = "The deprecate_after_days are not from 1 to 3650."
  }
}

variable "tags" {
  type        = map(string)
  description = "Further tags for everything that the bake makes, such as a cost centre."
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.tags : !startswith(name, "airkiln:")])
    error_message = "One of the tags begins with airkiln:, which this template sets itself."
  }
}

variable "manifest_path" {
  type        = string
  description = "File that lists the images baked, appended to; relative to the working directory."
  default     = "build/manifest.json"
}

# The playbook ---------------------------------------------------------------------------------------------------

variable "ansible_playbook_command" {
  type        = string
  description = "Command that runs a playbook: a name on the PATH or a full path."
  default     = "ansible-playbook"
}

variable "ansible_extra_arguments" {
  type        = list(string)
  description = "Further arguments of ansible-playbook, such as [\"-e\", \"@mirror.yml\"]; paths are relative to the repository."
  default     = []
}
