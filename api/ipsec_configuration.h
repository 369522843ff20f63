// SPDX-License-Identifier: Apache-2.0
//
// `ipSecConfiguration` of a network connection in JSON: what TunnelSpec holds of IKE and ESP.
#pragma once

#include "api/json_decode.h"
#include "vpn/tunnel_spec.h"

namespace hnv {

// Whether what is written may hold secrets: the store's may, an answer never. An answer says that
// one is set instead (sharedSecretSet, privateKeySet).
enum class Secrets : uint8_t { shown, hidden };

struct IpSecReader {
  void operator()(const Place& place, const Json& json, Faults& faults, TunnelSpec& out) const;
};
[[nodiscard]] Json encode_ipsec(const TunnelSpec& spec, Secrets secrets);

}  // namespace hnv
