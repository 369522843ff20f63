// SPDX-License-Identifier: Apache-2.0
//
// Keys, passwords, private keys. Whoever holds a secret holds the only copy that this type makes,
// and it is wiped when it goes. It is never printed: there is no operator<<, and no conversion.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hnv {

// Move-only. A moved-from secret is empty. Thread-safety: that of a value.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::span<const uint8_t> bytes)
      : bytes_(bytes.empty() ? nullptr : new uint8_t[bytes.size()]), size_(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), bytes_);
  }
  // The bytes of a text. The text itself is the caller's to wipe.
  [[nodiscard]] static SecretBytes of(std::string_view text) {
    return SecretBytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    SecretBytes taken(std::move(other));  // what was here is wiped with it
    std::swap(bytes_, taken.bytes_);
    std::swap(size_, taken.size_);
    return *this;
  }
  ~SecretBytes() {
    if (bytes_ != nullptr) explicit_bzero(bytes_, size_);
    delete[] bytes_;
  }

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // For whoever uses the secret: a cipher, the message that carries it to charon.
  [[nodiscard]] std::span<const uint8_t> reveal() const { return {bytes_, size_}; }
  [[nodiscard]] std::string_view reveal_text() const {
    return {reinterpret_cast<const char*>(bytes_), size_};
  }

  // Takes as long for equal as for different bytes of one size.
  friend bool operator==(const SecretBytes& a, const SecretBytes& b) {
    if (a.size_ != b.size_) return false;
    uint8_t difference = 0;
    for (size_t i = 0; i < a.size_; ++i) {
      difference = static_cast<uint8_t>(difference | (a.bytes_[i] ^ b.bytes_[i]));
    }
    return difference == 0;
  }

 private:
  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

// A secret that several immutable values share; the last of them wipes it.
class SharedSecret {
 public:
  SharedSecret() = default;
  explicit SharedSecret(SecretBytes secret)
      : secret_(std::make_shared<const SecretBytes>(std::move(secret))) {}
  explicit operator bool() const { return secret_ != nullptr; }
  const SecretBytes& operator*() const { return *secret_; }  // REQUIRES a secret
  const SecretBytes* operator->() const { return secret_.get(); }
  friend bool operator==(const SharedSecret& a, const SharedSecret& b) {
    if (a.secret_ == b.secret_) return true;
    return a.secret_ != nullptr && b.secret_ != nullptr && *a.secret_ == *b.secret_;
  }

 private:
  std::shared_ptr<const SecretBytes> secret_;
};

}  // namespace hnv
