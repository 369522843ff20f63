// SPDX-License-Identifier: GPL-2.0-or-later
//
// libstrongswan-hnv-gateway.so: where strongSwan's plugin loader finds the plugin `hnv-gateway`.
// Load it as `hnv-gateway! { load = 100 }`: before kernel-netlink, and critical, since charon would
// otherwise go on with the kernel's IPsec.
#include <dlfcn.h>
#include <sys/resource.h>

#include "vpn/charon/charon_abi.h"
#include "vpn/charon/kernel_ipsec.h"

namespace {

using hnv::charon::Feature;
using hnv::charon::Plugin;

// Symbols of releases whose interface is another one than charon_abi.h says: 5.9.12, 6.0.2, 6.0.5.
constexpr const char* kLaterReleases[] = {"ocsp_responders_create", "kernel_acquire_data_clone",
                                          "ipsec_sa_cfg_hash"};

bool supported_release() {
  for (const char* symbol : kLaterReleases) {
    if (dlsym(RTLD_DEFAULT, symbol) == nullptr) continue;
    dbg(hnv::charon::kDebugKernel, 0,
        "hnv-gateway: this release of strongSwan exports %s; the plugin is for 5.9.8 to 5.9.11",
        symbol);
    return false;
  }
  return true;
}

const char* get_name(Plugin*) { return "hnv-gateway"; }

int get_features(Plugin*, Feature** features) {
  static Feature offered[2];
  offered[0].kind = Feature::callback;
  offered[0].type = Feature::none;
  offered[0].argument.callback = {kernel_ipsec_register,
                                  reinterpret_cast<void*>(hnv::charon::create_kernel_ipsec)};
  offered[1].kind = Feature::provide;
  offered[1].type = Feature::custom;
  offered[1].argument.custom = "kernel-ipsec";
  *features = offered;
  return 2;
}

bool reload(Plugin*) { return false; }
void destroy(Plugin*) {}

}  // namespace

// The loader's name for it. Null is a refusal, and ends charon, the plugin being critical.
extern "C" __attribute__((visibility("default"))) Plugin* hnv_gateway_plugin_create() {
  static Plugin plugin{get_name, get_features, reload, destroy};
  // Session keys pass through: no core file of them.
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  return supported_release() ? &plugin : nullptr;
}
