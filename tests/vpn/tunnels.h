// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vpn/tunnel_spec.h"

namespace hnv {

inline std::string pem_text(const std::string& label) {
  return "-----BEGIN " + label + "-----\nMAo=\n-----END " + label + "-----\n";
}

inline TunnelSpec psk_tunnel(const std::string& remote_identity = "site.contoso.example") {
  TunnelSpec spec;
  spec.source_ip_address = Ip4<Space::external>(0xcb007101);       // 203.0.113.1
  spec.destination_ip_address = Ip4<Space::external>(0xc633640a);  // 198.51.100.10
  spec.remote_identity = remote_identity;
  spec.shared_secret = SharedSecret(SecretBytes::of("swordfish"));
  return spec;
}

inline TunnelSpec certificate_tunnel(const std::string& remote_identity = "site.contoso.example") {
  TunnelSpec spec = psk_tunnel(remote_identity);
  spec.authentication_method = IkeAuthentication::certificate;
  spec.shared_secret = SharedSecret();
  spec.local_identity = "gw.contoso.example";
  spec.certificates.certificate = pem_text("CERTIFICATE");
  spec.certificates.private_key = SharedSecret(SecretBytes::of(pem_text("PRIVATE KEY")));
  spec.certificates.certificate_authorities = {pem_text("CERTIFICATE")};
  return spec;
}

}  // namespace hnv
