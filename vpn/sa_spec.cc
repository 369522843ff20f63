// SPDX-License-Identifier: Apache-2.0
#include "vpn/sa_spec.h"

namespace hnv {

std::string_view to_string(SaCipher cipher) {
  switch (cipher) {
    case SaCipher::aes_gcm:
      return "AES-GCM";
    case SaCipher::chacha20_poly1305:
      return "ChaCha20-Poly1305";
    case SaCipher::aes_cbc:
      return "AES-CBC";
    case SaCipher::triple_des_cbc:
      return "3DES-CBC";
  }
  return "";
}

std::string_view to_string(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::none:
      return "none";
    case SaIntegrity::hmac_sha1_96:
      return "HMAC-SHA1-96";
    case SaIntegrity::hmac_sha256_128:
      return "HMAC-SHA256-128";
    case SaIntegrity::hmac_sha384_192:
      return "HMAC-SHA384-192";
    case SaIntegrity::hmac_sha512_256:
      return "HMAC-SHA512-256";
  }
  return "";
}

}  // namespace hnv
