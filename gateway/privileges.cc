// SPDX-License-Identifier: Apache-2.0
#include "gateway/privileges.h"

#include <array>
#include <initializer_list>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cap-ng.h>

namespace hnv {

namespace {

void keep_only(std::initializer_list<unsigned> capabilities, AtTheEnd end) {
  constexpr auto kHeld = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  capng_setpid(0);
  capng_clear(CAPNG_SELECT_CAPS);
  for (const unsigned capability : capabilities) capng_update(CAPNG_ADD, kHeld, capability);
  if (end == AtTheEnd::detach_xdp) {
    constexpr std::array<unsigned, 3> kDetachXdp{CAP_NET_ADMIN, CAP_BPF, CAP_SYS_ADMIN};
    for (const unsigned capability : kDetachXdp) {
      capng_update(CAPNG_ADD, kHeld, capability);
    }
  }
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) {
    throw std::runtime_error("capabilities cannot be dropped");
  }
}

}  // namespace

void drop_thread_capabilities(AtTheEnd end) { keep_only({}, end); }

void drop_privileges(AtTheEnd end) {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    throw std::runtime_error("no_new_privs or the core limit cannot be set");
  }
  keep_only({CAP_NET_BIND_SERVICE}, end);
}

}  // namespace hnv
