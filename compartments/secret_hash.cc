// SPDX-License-Identifier: Apache-2.0
#include "compartments/secret_hash.h"

#include <stdexcept>
#include <sys/random.h>

namespace hnv {

const std::array<uint64_t, 4> kHashSecret = [] {
  std::array<uint64_t, 4> secret{};
  if (getrandom(secret.data(), sizeof secret, 0) != sizeof secret) {
    throw std::runtime_error("the operating system gave no random bytes (getrandom)");
  }
  return secret;
}();

}  // namespace hnv
