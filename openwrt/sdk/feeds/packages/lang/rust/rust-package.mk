# The binary is there already; see openwrt/build.sh.
