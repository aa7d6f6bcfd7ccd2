# Stands in for OpenWrt's SDK, so that the recipes in openwrt/Makefile and luci-app/Makefile make packages without it.
# What a recipe may use here is what they use. Called by openwrt/package.sh, with ARCH, STAGE, PKG_INSTALL_DIR.
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
CP:=cp -fpR

comma:=,
empty:=
space:=$(empty) $(empty)
