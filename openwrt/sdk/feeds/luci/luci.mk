# As LuCI's own: htdocs is the web server's root, root the router's, and each translation in po/ a package of its own.
PKG_NAME:=$(LUCI_NAME)
PKG_MAINTAINER:=$(or $(LUCI_MAINTAINER),OpenWrt LuCI community)
URL:=$(or $(LUCI_URL),https://github.com/openwrt/luci)

include $(INCLUDE_DIR)/package.mk

define Package/$(LUCI_NAME)
  SECTION:=luci
  DEPENDS:=$(LUCI_DEPENDS)
  PKGARCH:=$(LUCI_PKGARCH)
endef

Package/$(LUCI_NAME)/description:=$(LUCI_DESCRIPTION)

define Package/$(LUCI_NAME)/install
	$(INSTALL_DIR) $(1)/www
	$(CP) htdocs/. $(1)/www/
	$(CP) root/. $(1)/
	chmod -R u=rwX,go=rX $(1)
endef

# The menu is read anew, and rpcd learns what the page may do without logging anybody out.
define Package/$(LUCI_NAME)/postinst
#!/bin/sh
[ -n "$${IPKG_INSTROOT}" ] || {
	rm -f /tmp/luci-indexcache.*
	/etc/init.d/rpcd reload
} 2>/dev/null
exit 0
endef

# LuCI lists the languages by their own names.
LANGUAGE.de:=Deutsch (German)
LANGUAGE.fr:=Français (French)
BASE:=$(patsubst luci-app-%,%,$(LUCI_NAME))

define Translation
define Package/luci-i18n-$(BASE)-$(1)
  SECTION:=luci
  DEPENDS:=$(LUCI_NAME)
  PKGARCH:=all
endef

Package/luci-i18n-$(BASE)-$(1)/description:=Translation for $(LUCI_NAME): $(LANGUAGE.$(1))

define Package/luci-i18n-$(BASE)-$(1)/install
	$$(INSTALL_DIR) $$(1)/etc/uci-defaults $$(1)/usr/lib/lua/luci/i18n
	echo "uci set luci.languages.$(1)='$(LANGUAGE.$(1))'; uci commit luci" >$$(1)/etc/uci-defaults/luci-i18n-$(BASE)-$(1)
	chmod 0755 $$(1)/etc/uci-defaults/luci-i18n-$(BASE)-$(1)
	python3 $$(TOPDIR)/../po2lmo.py po/$(1)/$(BASE).po $$(1)/usr/lib/lua/luci/i18n/$(BASE).$(1).lmo
endef

$$(eval $$(call BuildPackage,luci-i18n-$(BASE)-$(1)))
endef

$(eval $(call BuildPackage,$(LUCI_NAME)))
$(foreach language,$(filter-out templates,$(notdir $(wildcard po/*))),$(eval $(call Translation,$(language))))
