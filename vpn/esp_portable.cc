// SPDX-License-Identifier: Apache-2.0
//
// ESP by OpenSSL, for processors that the multi-buffer library is not made for.
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "vpn/esp_engines.h"

namespace hnv {
namespace {

constexpr unsigned kMostIcv = 64;

EVP_CIPHER_CTX* context_of(void* context) { return static_cast<EVP_CIPHER_CTX*>(context); }
EVP_MAC_CTX* mac_of(void* context) { return static_cast<EVP_MAC_CTX*>(context); }

const EVP_CIPHER* cipher_of(SaCipher cipher, size_t key_bytes) {
  switch (cipher) {
    case SaCipher::aes_gcm:
      return key_bytes == 16   ? EVP_aes_128_gcm()
             : key_bytes == 24 ? EVP_aes_192_gcm()
                               : EVP_aes_256_gcm();
    case SaCipher::chacha20_poly1305:
      return EVP_chacha20_poly1305();
    case SaCipher::aes_cbc:
      return key_bytes == 16   ? EVP_aes_128_cbc()
             : key_bytes == 24 ? EVP_aes_192_cbc()
                               : EVP_aes_256_cbc();
    case SaCipher::triple_des_cbc:
      return EVP_des_ede3_cbc();
  }
  return nullptr;
}

const char* digest_of(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::hmac_sha1_96:
      return "SHA1";
    case SaIntegrity::hmac_sha256_128:
      return "SHA256";
    case SaIntegrity::hmac_sha384_192:
      return "SHA384";
    case SaIntegrity::hmac_sha512_256:
    case SaIntegrity::none:
      break;
  }
  return "SHA512";
}

EVP_MAC_CTX* make_mac(SaIntegrity integrity, std::span<const uint8_t> key) {
  EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(hmac);
  EVP_MAC_free(hmac);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                       const_cast<char*>(digest_of(integrity)), 0),
      OSSL_PARAM_construct_end()};
  if (context != nullptr && EVP_MAC_init(context, key.data(), key.size(), parameters) == 1) {
    return context;
  }
  EVP_MAC_CTX_free(context);
  return nullptr;
}

// Encrypts or decrypts in place what lies behind the IV; `tag` of a combined cipher.
bool transform(EVP_CIPHER_CTX* context, int encrypts, const uint8_t* iv, const uint8_t* aad,
               uint32_t aad_bytes, uint8_t* at, uint32_t bytes, uint8_t* tag) {
  int written = 0;
  bool good = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, iv, encrypts) == 1;
  if (tag != nullptr) {
    if (encrypts == 0) good &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1;
    good &= EVP_CipherUpdate(context, nullptr, &written, aad, static_cast<int>(aad_bytes)) == 1;
  } else {
    (void)EVP_CIPHER_CTX_set_padding(context, 0);
  }
  good &= EVP_CipherUpdate(context, at, &written, at, static_cast<int>(bytes)) == 1;
  good &= EVP_CipherFinal_ex(context, at + bytes, &written) == 1;
  if (tag != nullptr && encrypts == 1) {
    good &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
  }
  return good;
}

// The nonce of a combined cipher: salt and IV.
void write_nonce(const std::array<uint8_t, 4>& salt, const uint8_t* iv, uint8_t* nonce) {
  std::memcpy(nonce, salt.data(), salt.size());
  std::memcpy(nonce + salt.size(), iv, 8);
}

}  // namespace

bool EspPortable::prepare(EspKeys& keys, const SaSpec& spec) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  keys.cipher_context_ = context;
  const auto key = spec.keys->encryption.reveal();
  const int encrypts = spec.direction == SaDirection::outbound ? 1 : 0;
  if (context == nullptr || EVP_CipherInit_ex(context, cipher_of(spec.cipher, key.size()), nullptr,
                                              key.data(), nullptr, encrypts) != 1) {
    return false;
  }
  if (spec.integrity == SaIntegrity::none) return true;
  keys.mac_context_ = make_mac(spec.integrity, spec.keys->integrity.reveal());
  return keys.mac_context_ != nullptr;
}

void EspPortable::forget(EspKeys& keys) {
  EVP_CIPHER_CTX_free(context_of(keys.cipher_context_));
  EVP_MAC_CTX_free(mac_of(keys.mac_context_));
}

// RFC 4303 §2.2.1: the upper half of an extended sequence number counts behind the packet.
void EspPortable::mac(const EspJob& job, uint8_t* icv) {
  EVP_MAC_CTX* context = mac_of(job.keys->mac_context_);
  const uint32_t high = __builtin_bswap32(job.sequence_high);
  size_t written = 0;
  (void)EVP_MAC_init(context, nullptr, 0, nullptr);
  (void)EVP_MAC_update(context, job.esp, 8U + job.keys->format_.iv_bytes + job.bytes);
  if (job.keys->sequence_ == SaSequence::extended) {
    (void)EVP_MAC_update(context, reinterpret_cast<const uint8_t*>(&high), sizeof high);
  }
  (void)EVP_MAC_final(context, icv, &written, kMostIcv);
}

void EspPortable::seal(const EspJob& job) {
  const EspKeys& keys = *job.keys;
  uint8_t* iv = job.esp + 8;
  uint8_t* payload = iv + keys.format_.iv_bytes;
  uint8_t* icv = payload + job.bytes;
  if (keys.integrity_ == SaIntegrity::none) {
    uint8_t nonce[12];
    uint8_t aad[12];
    write_nonce(keys.salt_, iv, nonce);
    const uint32_t aad_bytes = write_aad(job, keys.sequence_ == SaSequence::extended, aad);
    (void)transform(context_of(keys.cipher_context_), 1, nonce, aad, aad_bytes, payload, job.bytes,
                    icv);
    return;
  }
  uint8_t whole[kMostIcv];
  (void)transform(context_of(keys.cipher_context_), 1, iv, nullptr, 0, payload, job.bytes, nullptr);
  mac(job, whole);
  std::memcpy(icv, whole, keys.format_.icv_bytes);
}

bool EspPortable::open(const EspJob& job) {
  const EspKeys& keys = *job.keys;
  uint8_t* iv = job.esp + 8;
  uint8_t* payload = iv + keys.format_.iv_bytes;
  uint8_t* icv = payload + job.bytes;
  if (keys.integrity_ == SaIntegrity::none) {
    uint8_t nonce[12];
    uint8_t aad[12];
    uint8_t tag[16];
    write_nonce(keys.salt_, iv, nonce);
    std::memcpy(tag, icv, sizeof tag);
    const uint32_t aad_bytes = write_aad(job, keys.sequence_ == SaSequence::extended, aad);
    return transform(context_of(keys.cipher_context_), 0, nonce, aad, aad_bytes, payload, job.bytes,
                     tag);
  }
  uint8_t whole[kMostIcv];
  mac(job, whole);
  if (!same_bytes(whole, icv, keys.format_.icv_bytes)) return false;
  return transform(context_of(keys.cipher_context_), 0, iv, nullptr, 0, payload, job.bytes,
                   nullptr);
}

}  // namespace hnv
