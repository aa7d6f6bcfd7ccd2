# `list` names the packages of a recipe; `stage` lays out one of them, PACKAGE: in STAGE what will be installed, and in
# STAGE/CONTROL what the package says of itself. `prepare` copies what the SDK would build.
.PHONY: list stage prepare
list:
	@echo $(PACKAGES)

prepare:
	$(Build/Prepare)

# Name, or nothing where the value is empty.
field=$(if $(strip $(2)),$(1): $(strip $(2))$(newline))
define newline


endef

# `+package` is one it takes along, `@(…)` a condition on the target. Our binary brings its own Mbed TLS.
depends=$(subst $(space),$(comma) ,$(strip libc $(filter-out libmbedtls,$(subst +,,$(filter-out @%,$(DEPENDS))))))

define control
Package: $(1)
Version: $(PKG_VERSION)-r$(PKG_RELEASE)
$(call field,Depends,$(depends))$(call field,Source,$(SOURCE))$(call field,SourceName,$(PKG_NAME))$(call \
  field,License,$(PKG_LICENSE))$(call field,LicenseFiles,$(PKG_LICENSE_FILES))$(call field,Section,$(SECTION))$(call \
  field,Require-User,$(USERID))$(call field,SourceDateEpoch,$(SOURCE_DATE_EPOCH))$(call field,URL,$(URL))$(call \
  field,Maintainer,$(PKG_MAINTAINER))Architecture: $(or $(PKGARCH),$(ARCH))
Installed-Size: 0
Description: $(strip $(Package/$(1)/description))
endef

# What every package runs; it calls the package's own part beside it.
define postinst
#!/bin/sh
[ "$${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "$${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "$${IPKG_INSTROOT}/lib/functions.sh"
default_postinst "$$0" "$$@"
endef

define prerm
#!/bin/sh
[ -s "$${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "$${IPKG_INSTROOT}/lib/functions.sh"
default_prerm "$$0" "$$@"
endef

# After the files are gone there is only the package's own.
postrm=$(Package/$(1)/postrm)

# What a new firmware keeps besides the files it knows to be configuration: those of whole directories.
kept=$(filter %/,$(Package/$(1)/conffiles))

define BuildPackage
PACKAGES+=$(1)
ifeq ($$(PACKAGE),$(1))
$$(eval $$(Package/$(1)))
stage: $$(STAGE)/CONTROL
	$$(call Package/$(1)/install,$$(STAGE))
	$$(foreach path,$$(call kept,$(1)),$$(INSTALL_DIR) $$(STAGE)/lib/upgrade/keep.d && \
	  echo $$(path) >>$$(STAGE)/lib/upgrade/keep.d/$(1) &&) true
	$$(file >$$</control,$$(call control,$(1)))
	$$(file >$$</conffiles,$$(Package/$(1)/conffiles))
	$$(file >$$</postinst,$$(postinst))
	$$(file >$$</prerm,$$(prerm))
	$$(file >$$</postinst-pkg,$$(Package/$(1)/postinst))
	$$(file >$$</prerm-pkg,$$(Package/$(1)/prerm))
	$$(file >$$</postrm,$$(call postrm,$(1)))
	chmod 0755 $$</p*

$$(STAGE)/CONTROL:
	$$(INSTALL_DIR) $$@
endif
endef
