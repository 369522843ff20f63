// SPDX-License-Identifier: Apache-2.0
//
// The sockets that the API listens on, opened with errors that say what to do. Throws
// std::runtime_error; used at start-up only.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace hnv {

// A file descriptor that is closed with its owner.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release();

 private:
  int fd_;
};

// A Unix stream socket with mode 0660. A socket file that nobody answers on is left over from a
// crash and is replaced; one that is answered belongs to another gateway and is not touched.
class UnixSocket {
 public:
  explicit UnixSocket(std::string path);
  UnixSocket(const UnixSocket&) = delete;
  UnixSocket& operator=(const UnixSocket&) = delete;
  UnixSocket(UnixSocket&&) = delete;
  UnixSocket& operator=(UnixSocket&&) = delete;
  ~UnixSocket();  // removes the file if it is still ours

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  std::string path_;
  FileDescriptor fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// A listening TCP socket on a literal address; port 0 takes any free one.
class TcpSocket {
 public:
  TcpSocket(const std::string& address, uint16_t port);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  FileDescriptor fd_;
  uint16_t port_;
};

// 127.0.0.0/8 or ::1, as literals.
[[nodiscard]] bool is_loopback(const std::string& address);

}  // namespace hnv
