# As LuCI's own: htdocs is the web server's root, root the router's. Translations are packages of their own there, made of
# po/ by a compiler of LuCI's; that is left to the SDK.
PKG_NAME:=$(LUCI_NAME)

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

$(eval $(call BuildPackage,$(LUCI_NAME)))
