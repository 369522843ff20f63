// SPDX-License-Identifier: Apache-2.0
#include "gateway/privileges.h"

#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cap-ng.h>

namespace hnv {

void drop_thread_capabilities() {
  capng_setpid(0);
  capng_clear(CAPNG_SELECT_CAPS);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) {
    throw std::runtime_error("capabilities cannot be dropped");
  }
}

void drop_privileges() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    throw std::runtime_error("no_new_privs or the core limit cannot be set");
  }
  capng_setpid(0);
  capng_clear(CAPNG_SELECT_CAPS);
  // For an API port below 1024, if there is one.
  capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
               CAP_NET_BIND_SERVICE);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) {
    throw std::runtime_error("capabilities cannot be dropped");
  }
}

}  // namespace hnv
