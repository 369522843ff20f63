// SPDX-License-Identifier: Apache-2.0
#include "api/listening_socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "compartments/address.h"

namespace hnv {
namespace {

constexpr int kBacklog = 128;
constexpr mode_t kMode = 0660;

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  throw std::runtime_error(fmt::format("api: {}: {}", where, why));
}
[[noreturn]] void refuse_errno(const std::string& where) {
  refuse(where, std::generic_category().message(errno));
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.front() != '/') refuse(path, "the socket's path must begin with /");
  if (path.size() >= sizeof(address.sun_path)) {
    refuse(path,
           fmt::format("a socket's path has at most {} characters", sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* generic(const void* address) { return static_cast<const sockaddr*>(address); }

// Removes a socket file that nobody answers on; refuses everything else that stands in the way.
void clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) {
    if (errno == ENOENT) return;
    refuse_errno(path);
  }
  if (!S_ISSOCK(file.st_mode)) refuse(path, "exists and is not a socket; move it away");
  const FileDescriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() < 0) refuse_errno(path);
  if (connect(probe.get(), generic(&address), sizeof(address)) == 0 || errno == EAGAIN) {
    refuse(path, "another gateway answers on this socket; stop it or choose another socket");
  }
  if (errno != ECONNREFUSED && errno != ENOENT) refuse_errno(path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) refuse_errno(path);
}

void require_parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
  struct stat folder {};
  if (stat(parent.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode)) {
    refuse(path, fmt::format("the folder {} does not exist; create it, or let systemd do so "
                             "(RuntimeDirectory=)",
                             parent));
  }
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress tcp_address(const std::string& text, uint16_t port) {
  SocketAddress result;
  const auto parsed = IpAddress<Space::external>::parse(text);
  if (!parsed) refuse(text, "must be a literal IPv4 or IPv6 address to listen on");
  if (parsed->is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(parsed->v4().value());
    std::memcpy(&result.storage, &address, sizeof(address));
    result.size = sizeof(address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    std::memcpy(&address.sin6_addr, parsed->bytes().data(), parsed->bytes().size());
    std::memcpy(&result.storage, &address, sizeof(address));
    result.size = sizeof(address);
  }
  return result;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

int FileDescriptor::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

UnixSocket::UnixSocket(std::string path) : path_(std::move(path)) {
  const sockaddr_un address = unix_address(path_);
  require_parent(path_);
  clear_stale(path_, address);
  fd_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd_.get() < 0) refuse_errno(path_);
  // The file takes the socket's mode, so that there is no moment at which others may connect.
  if (fchmod(fd_.get(), kMode) != 0) refuse_errno(path_);
  if (bind(fd_.get(), generic(&address), sizeof(address)) != 0) refuse_errno(path_);
  struct stat file {};
  if (chmod(path_.c_str(), kMode) != 0 || stat(path_.c_str(), &file) != 0) refuse_errno(path_);
  device_ = file.st_dev;
  inode_ = file.st_ino;
  if (listen(fd_.get(), kBacklog) != 0) refuse_errno(path_);
}

UnixSocket::~UnixSocket() {
  struct stat file {};
  if (lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

TcpSocket::TcpSocket(const std::string& address, uint16_t port) : port_(port) {
  const std::string where = fmt::format("{} port {}", address, port);
  SocketAddress local = tcp_address(address, port);
  fd_ = FileDescriptor(socket(local.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd_.get() < 0) refuse_errno(where);
  const int on = 1;
  (void)setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd_.get(), generic(&local.storage), local.size) != 0) refuse_errno(where);
  if (listen(fd_.get(), kBacklog) != 0) refuse_errno(where);
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&local.storage), &local.size) != 0) {
    refuse_errno(where);
  }
  in_port_t bound = 0;  // at the same place in both families
  std::memcpy(&bound,
              reinterpret_cast<const char*>(&local.storage) + offsetof(sockaddr_in, sin_port),
              sizeof(bound));
  port_ = ntohs(bound);
}

bool is_loopback(const std::string& address) {
  const auto parsed = IpAddress<Space::external>::parse(address);
  if (!parsed) return false;
  return parsed->is_v4() ? parsed->v4().value() >> 24 == 127 : parsed->to_string() == "::1";
}

}  // namespace hnv
