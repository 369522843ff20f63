// SPDX-License-Identifier: Apache-2.0
//
// ESP by Intel's multi-buffer library. Combined ciphers are called one packet at a time: the call
// itself fills the processor. CBC and HMAC are serial in one packet, so packets of a vector go
// through the library's lanes side by side.
//
// Contexts, IVs, AADs and tags lie on lines of their own: unaligned ones cost 40 cycles a packet.
#include <intel-ipsec-mb.h>
#include <memory>
#include <new>
#include <stdexcept>

#include "vpn/esp_engines.h"

namespace hnv {
namespace {

// How the keys of CBC and HMAC lie in a schedule.
struct alignas(64) Chained {
  alignas(16) uint8_t encrypt[15 * 16];
  alignas(16) uint8_t decrypt[15 * 16];
  alignas(16) uint8_t inner[64];
  alignas(16) uint8_t outer[64];
};
struct alignas(64) TripleDes {
  alignas(16) uint64_t key[3][IMB_DES_KEY_SCHED_SIZE / sizeof(uint64_t)];
  const void* keys[3];  // as the library wants them
  alignas(16) uint8_t inner[64];
  alignas(16) uint8_t outer[64];
};

struct FreeManager {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

Manager make_manager() {
  Manager manager(alloc_mb_mgr(0));
  if (manager == nullptr) throw std::runtime_error("no memory for the IPsec multi-buffer library");
  init_mb_mgr_auto(manager.get(), nullptr);
  return manager;
}

// For key schedules: the control thread's, and that of tests.
IMB_MGR& expander() {
  static thread_local const Manager kManager = make_manager();
  return *kManager;
}

IMB_HASH_ALG hash_of(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::hmac_sha1_96:
      return IMB_AUTH_HMAC_SHA_1;
    case SaIntegrity::hmac_sha256_128:
      return IMB_AUTH_HMAC_SHA_256;
    case SaIntegrity::hmac_sha384_192:
      return IMB_AUTH_HMAC_SHA_384;
    case SaIntegrity::hmac_sha512_256:
    case SaIntegrity::none:
      break;
  }
  return IMB_AUTH_HMAC_SHA_512;
}

// The state of HMAC's hash behind the block of its padded key (RFC 2104).
void hash_pad(SaIntegrity integrity, std::span<const uint8_t> key, uint8_t pad, uint8_t* state) {
  alignas(16) uint8_t block[128];
  std::fill(std::begin(block), std::end(block), pad);
  for (size_t i = 0; i < key.size(); ++i) block[i] = static_cast<uint8_t>(key[i] ^ pad);
  IMB_MGR* manager = &expander();
  switch (integrity) {
    case SaIntegrity::hmac_sha1_96:
      IMB_SHA1_ONE_BLOCK(manager, block, state);
      break;
    case SaIntegrity::hmac_sha256_128:
      IMB_SHA256_ONE_BLOCK(manager, block, state);
      break;
    case SaIntegrity::hmac_sha384_192:
      IMB_SHA384_ONE_BLOCK(manager, block, state);
      break;
    case SaIntegrity::hmac_sha512_256:
    case SaIntegrity::none:
      IMB_SHA512_ONE_BLOCK(manager, block, state);
      break;
  }
  explicit_bzero(block, sizeof block);
}

template <class Schedule>
void expand_hmac(Schedule& schedule, const SaSpec& spec) {
  const auto key = spec.keys->integrity.reveal();
  hash_pad(spec.integrity, key, 0x36, schedule.inner);
  hash_pad(spec.integrity, key, 0x5c, schedule.outer);
}

void expand_gcm(const uint8_t* key, size_t bytes, gcm_key_data& schedule) {
  IMB_MGR* manager = &expander();
  if (bytes == 16) {
    IMB_AES128_GCM_PRE(manager, key, &schedule);
  } else if (bytes == 24) {
    IMB_AES192_GCM_PRE(manager, key, &schedule);
  } else {
    IMB_AES256_GCM_PRE(manager, key, &schedule);
  }
}

void expand_cbc(const uint8_t* key, size_t bytes, Chained& schedule) {
  IMB_MGR* manager = &expander();
  if (bytes == 16) {
    IMB_AES_KEYEXP_128(manager, key, schedule.encrypt, schedule.decrypt);
  } else if (bytes == 24) {
    IMB_AES_KEYEXP_192(manager, key, schedule.encrypt, schedule.decrypt);
  } else {
    IMB_AES_KEYEXP_256(manager, key, schedule.encrypt, schedule.decrypt);
  }
}

constexpr unsigned kTag = 64;
// Keys of 64 packets do not fit the first cache beside the packets: each is fetched so many packets
// before it is used.
constexpr unsigned kAhead = 4;

}  // namespace

struct EspMultiBuffer::Scratch {
  Manager manager = make_manager();
  alignas(64) gcm_context_data gcm{};
  alignas(64) chacha20_poly1305_context_data chacha{};
  alignas(64) std::array<uint8_t, 64> nonce{};
  alignas(64) std::array<uint8_t, 64> aad{};
  alignas(64) std::array<uint8_t, 64> tag{};
  alignas(64) std::array<std::array<uint8_t, kTag>, EspTransform::kMost> tags{};
  // What stood where the upper half of an extended sequence number is hashed.
  std::array<std::array<uint8_t, kTag>, EspTransform::kMost> icvs{};
};

EspMultiBuffer::Scratch* EspMultiBuffer::make_scratch() { return new Scratch(); }
void EspMultiBuffer::free_scratch(Scratch* scratch) { delete scratch; }

bool EspMultiBuffer::expand(EspKeys& keys, const SaSpec& spec) {
  static_assert(sizeof(gcm_key_data) <= sizeof keys.schedule_);
  static_assert(sizeof(Chained) <= sizeof keys.schedule_);
  static_assert(sizeof(TripleDes) <= sizeof keys.schedule_);
  uint8_t* at = keys.schedule_.data();
  const auto key = spec.keys->encryption.reveal();
  switch (spec.cipher) {
    case SaCipher::aes_gcm:
      expand_gcm(key.data(), key.size(), *new (at) gcm_key_data);
      return true;
    case SaCipher::chacha20_poly1305:
      std::memcpy(at, key.data(), key.size());
      return true;
    case SaCipher::aes_cbc: {
      auto& chained = *new (at) Chained;
      expand_cbc(key.data(), key.size(), chained);
      expand_hmac(chained, spec);
      return true;
    }
    case SaCipher::triple_des_cbc: {
      auto& des = *new (at) TripleDes;
      for (size_t i = 0; i < 3; ++i) {
        IMB_DES_KEYSCHED(&expander(), des.key[i], key.data() + i * 8);
        des.keys[i] = des.key[i];
      }
      expand_hmac(des, spec);
      return true;
    }
  }
  return false;
}

void EspMultiBuffer::gcm(Scratch& scratch, const EspJob& job, Way way) {
  const auto* schedule = reinterpret_cast<const gcm_key_data*>(job.keys->schedule_.data());
  IMB_MGR* manager = scratch.manager.get();
  const uint64_t aad_bytes =
      write_aad(job, job.keys->sequence_ == SaSequence::extended, scratch.aad.data());
  uint8_t* at = job.esp + 16;
  const bool seals = way == Way::seal;
  aes_gcm_enc_dec_t function = seals ? manager->gcm256_enc : manager->gcm256_dec;
  if (job.keys->key_bytes_ == 16) function = seals ? manager->gcm128_enc : manager->gcm128_dec;
  if (job.keys->key_bytes_ == 24) function = seals ? manager->gcm192_enc : manager->gcm192_dec;
  function(schedule, &scratch.gcm, at, at, job.bytes, scratch.nonce.data(), scratch.aad.data(),
           aad_bytes, scratch.tag.data(), 16);
}

void EspMultiBuffer::chacha(Scratch& scratch, const EspJob& job, Way way) {
  IMB_MGR* manager = scratch.manager.get();
  const uint64_t aad_bytes =
      write_aad(job, job.keys->sequence_ == SaSequence::extended, scratch.aad.data());
  const uint8_t* key = job.keys->schedule_.data();
  uint8_t* at = job.esp + 16;
  IMB_CHACHA20_POLY1305_INIT(manager, key, &scratch.chacha, scratch.nonce.data(),
                             scratch.aad.data(), aad_bytes);
  if (way == Way::seal) {
    IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, key, &scratch.chacha, at, at, job.bytes);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &scratch.chacha, scratch.tag.data(), 16);
  } else {
    IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, key, &scratch.chacha, at, at, job.bytes);
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &scratch.chacha, scratch.tag.data(), 16);
  }
}

// True: sealed, or its ICV was right.
bool EspMultiBuffer::combined(Scratch& scratch, const EspJob& job, Way way) {
  std::memcpy(scratch.nonce.data(), job.keys->salt_.data(), 4);
  std::memcpy(scratch.nonce.data() + 4, job.esp + 8, 8);
  if (job.keys->cipher_ == SaCipher::aes_gcm) {
    gcm(scratch, job, way);
  } else {
    chacha(scratch, job, way);
  }
  uint8_t* icv = job.esp + 16 + job.bytes;
  if (way == Way::open) return same_bytes(scratch.tag.data(), icv, 16);
  std::memcpy(icv, scratch.tag.data(), 16);
  return true;
}

void EspMultiBuffer::submit(Scratch& scratch, const EspJob& job, unsigned place, Way way) {
  const EspKeys& keys = *job.keys;
  IMB_JOB& order = *IMB_GET_NEXT_JOB(scratch.manager.get());
  const uint32_t head = 8U + keys.format_.iv_bytes;
  uint8_t* icv = job.esp + head + job.bytes;
  uint32_t hashed = head + job.bytes;
  std::memcpy(scratch.icvs[place].data(), icv, keys.format_.icv_bytes);
  if (keys.sequence_ == SaSequence::extended) {
    // RFC 4303 §2.2.1: it counts behind the packet, where the ICV will stand, or stood.
    const uint32_t high = __builtin_bswap32(job.sequence_high);
    std::memcpy(icv, &high, sizeof high);
    hashed += sizeof high;
  }
  order.src = job.esp;
  order.dst = job.esp + head;
  order.cipher_start_src_offset_in_bytes = head;
  order.msg_len_to_cipher_in_bytes = job.bytes;
  order.hash_start_src_offset_in_bytes = 0;
  order.msg_len_to_hash_in_bytes = hashed;
  order.iv = job.esp + 8;
  order.iv_len_in_bytes = keys.format_.iv_bytes;
  order.auth_tag_output = scratch.tags[place].data();
  order.auth_tag_output_len_in_bytes = keys.format_.icv_bytes;
  order.key_len_in_bytes = keys.key_bytes_;
  order.hash_alg = hash_of(keys.integrity_);
  if (keys.cipher_ == SaCipher::aes_cbc) {
    const auto& chained = *reinterpret_cast<const Chained*>(keys.schedule_.data());
    order.cipher_mode = IMB_CIPHER_CBC;
    order.enc_keys = chained.encrypt;
    order.dec_keys = chained.decrypt;
    order.u.HMAC._hashed_auth_key_xor_ipad = chained.inner;
    order.u.HMAC._hashed_auth_key_xor_opad = chained.outer;
  } else {
    const auto& des = *reinterpret_cast<const TripleDes*>(keys.schedule_.data());
    order.cipher_mode = IMB_CIPHER_DES3;
    order.enc_keys = des.keys;
    order.dec_keys = des.keys;
    order.u.HMAC._hashed_auth_key_xor_ipad = des.inner;
    order.u.HMAC._hashed_auth_key_xor_opad = des.outer;
  }
  order.cipher_direction = way == Way::seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  order.chain_order = way == Way::seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  order.user_data = &scratch.tags[place];  // says the place, when it is done
}

template <class Done>
void EspMultiBuffer::chained(Scratch& scratch, const EspJob* jobs, unsigned count, Way way,
                             Done done) {
  IMB_MGR* manager = scratch.manager.get();
  const auto finish = [&](const IMB_JOB* order) {
    for (; order != nullptr; order = IMB_GET_COMPLETED_JOB(manager)) {
      const auto* tag = static_cast<const decltype(scratch.tags)::value_type*>(order->user_data);
      done(static_cast<unsigned>(tag - scratch.tags.data()), order->status == IMB_STATUS_COMPLETED);
    }
  };
  for (unsigned i = 0; i < count; ++i) {
    if (jobs[i].keys->integrity_ == SaIntegrity::none) continue;
    submit(scratch, jobs[i], i, way);
    finish(IMB_SUBMIT_JOB(manager));
  }
  while (const IMB_JOB* order = IMB_FLUSH_JOB(manager)) finish(order);
}

void EspMultiBuffer::seal(Scratch& scratch, const EspJob* jobs, unsigned count) {
  bool any_chained = false;
  for (unsigned i = 0; i < std::min(kAhead, count); ++i) jobs[i].keys->prefetch(jobs[i].bytes);
  for (unsigned i = 0; i < count; ++i) {
    if (i + kAhead < count) jobs[i + kAhead].keys->prefetch(jobs[i + kAhead].bytes);
    if (jobs[i].keys->integrity_ == SaIntegrity::none) {
      (void)combined(scratch, jobs[i], Way::seal);
    } else {
      any_chained = true;
    }
  }
  if (!any_chained) return;
  chained(scratch, jobs, count, Way::seal, [&](unsigned place, bool) {
    const EspFormat& format = jobs[place].keys->format_;
    std::memcpy(jobs[place].esp + 8 + format.iv_bytes + jobs[place].bytes,
                scratch.tags[place].data(), format.icv_bytes);
  });
}

void EspMultiBuffer::open(Scratch& scratch, const EspJob* jobs, unsigned count, bool* good) {
  bool any_chained = false;
  for (unsigned i = 0; i < std::min(kAhead, count); ++i) jobs[i].keys->prefetch(jobs[i].bytes);
  for (unsigned i = 0; i < count; ++i) {
    if (i + kAhead < count) jobs[i + kAhead].keys->prefetch(jobs[i + kAhead].bytes);
    if (jobs[i].keys->integrity_ == SaIntegrity::none) {
      good[i] = combined(scratch, jobs[i], Way::open);
    } else {
      any_chained = true;
    }
  }
  if (!any_chained) return;
  chained(scratch, jobs, count, Way::open, [&](unsigned place, bool completed) {
    good[place] = completed && same_bytes(scratch.tags[place].data(), scratch.icvs[place].data(),
                                          jobs[place].keys->format_.icv_bytes);
  });
}

}  // namespace hnv
