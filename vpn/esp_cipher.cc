// SPDX-License-Identifier: Apache-2.0
#include "vpn/esp_cipher.h"

#include <cassert>
#include <cstring>
#include <new>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "vpn/esp_engines.h"

namespace hnv {
namespace {

size_t integrity_key_bytes(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::none:
      return 0;
    case SaIntegrity::hmac_sha1_96:
      return 20;
    case SaIntegrity::hmac_sha256_128:
      return 32;
    case SaIntegrity::hmac_sha384_192:
      return 48;
    case SaIntegrity::hmac_sha512_256:
      return 64;
  }
  return 0;
}

uint8_t icv_bytes_of(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::none:
      return 16;  // that of the combined ciphers
    case SaIntegrity::hmac_sha1_96:
      return 12;
    case SaIntegrity::hmac_sha256_128:
      return 16;
    case SaIntegrity::hmac_sha384_192:
      return 24;
    case SaIntegrity::hmac_sha512_256:
      return 32;
  }
  return 16;
}

bool is_combined(SaCipher cipher) {
  return cipher == SaCipher::aes_gcm || cipher == SaCipher::chacha20_poly1305;
}

bool lengths_fit(const SaSpec& spec) {
  const size_t key = spec.keys->encryption.size();
  const bool aes = key == 16 || key == 24 || key == 32;
  if (is_combined(spec.cipher) != (spec.integrity == SaIntegrity::none)) return false;
  if (spec.keys->salt.size() != (is_combined(spec.cipher) ? 4U : 0U)) return false;
  if (spec.keys->integrity.size() != integrity_key_bytes(spec.integrity)) return false;
  switch (spec.cipher) {
    case SaCipher::aes_gcm:
    case SaCipher::aes_cbc:
      return aes;
    case SaCipher::chacha20_poly1305:
      return key == 32;
    case SaCipher::triple_des_cbc:
      return key == 24;
  }
  return false;
}

}  // namespace

EspEngine best_esp_engine() {
  static const bool kAble = __builtin_cpu_supports("aes") != 0 &&
                            __builtin_cpu_supports("pclmul") != 0 &&
                            __builtin_cpu_supports("avx2") != 0;
  return kAble ? EspEngine::multi_buffer : EspEngine::portable;
}

EspFormat esp_format_of(SaCipher cipher, SaIntegrity integrity) {
  EspFormat format;
  format.icv_bytes = icv_bytes_of(integrity);
  if (cipher == SaCipher::aes_cbc) {
    format.iv_bytes = 16;
    format.alignment = 16;
  } else if (cipher == SaCipher::triple_des_cbc) {
    format.alignment = 8;
  }
  return format;
}

std::shared_ptr<EspKeys> EspKeys::make(const SaSpec& spec, EspEngine engine) {
  if (!lengths_fit(spec)) return nullptr;
  const std::shared_ptr<EspKeys> keys(new EspKeys());
  keys->engine_ = engine;
  keys->cipher_ = spec.cipher;
  keys->integrity_ = spec.integrity;
  keys->sequence_ = spec.sequence;
  keys->key_bytes_ = static_cast<uint8_t>(spec.keys->encryption.size());
  keys->format_ = esp_format_of(spec.cipher, spec.integrity);
  const auto salt = spec.keys->salt.reveal();
  std::copy(salt.begin(), salt.end(), keys->salt_.begin());
  const bool ready = engine == EspEngine::multi_buffer ? EspMultiBuffer::expand(*keys, spec)
                                                       : EspPortable::prepare(*keys, spec);
  return ready ? keys : nullptr;
}

EspKeys::~EspKeys() {
  EspPortable::forget(*this);
  explicit_bzero(schedule_.data(), schedule_.size());
  explicit_bzero(salt_.data(), salt_.size());
}

// Random blocks come in batches from AES in counter mode, under a key of this thread's own.
struct EspTransform::Scratch {
  static constexpr unsigned kPool = 4096;
  EspMultiBuffer::Scratch* multi_buffer = nullptr;
  EVP_CIPHER_CTX* random = nullptr;
  unsigned used = kPool;
  std::array<uint8_t, kPool> zeros{};
  std::array<uint8_t, kPool> pool{};
};

EspTransform::EspTransform(EspEngine engine)
    : engine_(engine), scratch_(std::make_unique<Scratch>()) {
  std::array<uint8_t, 48> seed{};
  scratch_->random = EVP_CIPHER_CTX_new();
  const bool seeded = scratch_->random != nullptr &&
                      RAND_bytes(seed.data(), static_cast<int>(seed.size())) == 1 &&
                      EVP_EncryptInit_ex(scratch_->random, EVP_aes_256_ctr(), nullptr, seed.data(),
                                         seed.data() + 32) == 1;
  explicit_bzero(seed.data(), seed.size());
  if (!seeded) throw std::runtime_error("OpenSSL gives no random numbers for IPsec");
  if (engine == EspEngine::multi_buffer) scratch_->multi_buffer = EspMultiBuffer::make_scratch();
}

EspTransform::~EspTransform() {
  EVP_CIPHER_CTX_free(scratch_->random);
  explicit_bzero(scratch_->pool.data(), scratch_->pool.size());
  EspMultiBuffer::free_scratch(scratch_->multi_buffer);
}

void EspTransform::random_iv(uint8_t* iv, unsigned bytes) {
  assert(bytes <= 16);
  if (scratch_->used + bytes > Scratch::kPool) {
    int written = 0;
    (void)EVP_EncryptUpdate(scratch_->random, scratch_->pool.data(), &written,
                            scratch_->zeros.data(), static_cast<int>(Scratch::kPool));
    scratch_->used = 0;
  }
  std::memcpy(iv, scratch_->pool.data() + scratch_->used, bytes);
  scratch_->used += bytes;
}

void EspTransform::seal(const EspJob* jobs, unsigned count) {
  assert(count <= kMost);
  if (engine_ == EspEngine::multi_buffer) {
    return EspMultiBuffer::seal(*scratch_->multi_buffer, jobs, count);
  }
  for (unsigned i = 0; i < count; ++i) EspPortable::seal(jobs[i]);
}

void EspTransform::open(const EspJob* jobs, unsigned count, bool* good) {
  assert(count <= kMost);
  if (engine_ == EspEngine::multi_buffer) {
    return EspMultiBuffer::open(*scratch_->multi_buffer, jobs, count, good);
  }
  for (unsigned i = 0; i < count; ++i) good[i] = EspPortable::open(jobs[i]);
}

}  // namespace hnv
