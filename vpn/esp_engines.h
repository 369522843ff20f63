// SPDX-License-Identifier: Apache-2.0
//
// The two engines behind EspTransform; nobody else includes this.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "vpn/esp_cipher.h"

struct IMB_MGR;

namespace hnv {

// AAD of combined ciphers (RFC 4106 §5, RFC 7634 §2.1): SPI and sequence number, with all 64 bits
// of an extended one. Returns its length.
inline uint32_t write_aad(const EspJob& job, bool extended, uint8_t* aad) {
  if (!extended) {
    std::memcpy(aad, job.esp, 8);
    return 8;
  }
  const uint32_t high = __builtin_bswap32(job.sequence_high);
  std::memcpy(aad, job.esp, 4);
  std::memcpy(aad + 4, &high, 4);
  std::memcpy(aad + 8, job.esp + 4, 4);
  return 12;
}

// As long for equal as for different bytes.
inline bool same_bytes(const uint8_t* a, const uint8_t* b, size_t count) {
  uint8_t difference = 0;
  for (size_t i = 0; i < count; ++i) difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

struct EspMultiBuffer {
  struct Scratch;
  [[nodiscard]] static Scratch* make_scratch();
  static void free_scratch(Scratch* scratch);
  // The key schedule. False: a key's length does not fit.
  [[nodiscard]] static bool expand(EspKeys& keys, const SaSpec& spec);
  static void seal(Scratch& scratch, const EspJob* jobs, unsigned count);
  static void open(Scratch& scratch, const EspJob* jobs, unsigned count, bool* good);

 private:
  enum class Way : uint8_t { seal, open };
  static void gcm(Scratch& scratch, const EspJob& job, Way way);
  static void chacha(Scratch& scratch, const EspJob& job, Way way);
  static bool combined(Scratch& scratch, const EspJob& job, Way way);
  static void submit(Scratch& scratch, const EspJob& job, unsigned place, Way way);
  template <class Done>
  static void chained(Scratch& scratch, const EspJob* jobs, unsigned count, Way way, Done done);
};

struct EspPortable {
  [[nodiscard]] static bool prepare(EspKeys& keys, const SaSpec& spec);
  static void forget(EspKeys& keys);
  static void seal(const EspJob& job);
  [[nodiscard]] static bool open(const EspJob& job);

 private:
  static void mac(const EspJob& job, uint8_t* icv);
};

}  // namespace hnv
