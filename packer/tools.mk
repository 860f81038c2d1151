# Packer and its plugin for the rest of the Makefile, which includes this file:
#   $(PACKER)            the binary; exported, with PACKER_PLUGIN_PATH, to every recipe
#   $(PACKER_STAMP)      a target to depend on (order-only is enough): both are in place
# If neither can be had, $(PACKER_STAMP) fails and nothing else.

# Relative, because make takes a space in a target's path for the end of its name.
PACKER_TOOLS := build/tools
PACKER_STAMP := $(PACKER_TOOLS)/packer.stamp

export PACKER := $(CURDIR)/$(PACKER_TOOLS)/packer
export PACKER_PLUGIN_PATH := $(CURDIR)/$(PACKER_TOOLS)/plugins
export CHECKPOINT_DISABLE := 1

$(PACKER_STAMP): packer/tools/install.sh packer/tools/go-requirements.txt packer/plugins.pkr.hcl \
		$(wildcard packer/tools/*/go.mod packer/tools/*/go.sum)
	packer/tools/install.sh $(PACKER_TOOLS)
	@touch $@

.PHONY: tools check-packer
tools: $(PACKER_STAMP) ## Packer and its plugin in build/tools: found on the PATH, or built

check-packer: $(PACKER_STAMP) ## The Packer template: format and validity for both architectures
	"$(PACKER)" fmt -check -diff packer/
	for architecture in amd64 arm64; do \
		AWS_REGION=eu-west-1 "$(PACKER)" validate -var architecture=$$architecture packer/ || exit 1; \
	done
