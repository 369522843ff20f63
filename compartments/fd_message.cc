// SPDX-License-Identifier: Apache-2.0
#include "compartments/fd_message.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>

namespace hnv {

bool send_with_fds(int socket, const void* message, size_t size, std::initializer_list<int> fds) {
  assert(fds.size() <= 2);
  iovec part{const_cast<void*>(message), size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room{};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  if (fds.size() != 0) {
    head.msg_control = room.data();
    head.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* beside = CMSG_FIRSTHDR(&head);
    beside->cmsg_level = SOL_SOCKET;
    beside->cmsg_type = SCM_RIGHTS;
    beside->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(beside), fds.begin(), fds.size() * sizeof(int));
  }
  return sendmsg(socket, &head, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

FdMessage receive_with_fds(int socket, void* message, size_t size) {
  FdMessage out;
  iovec part{message, size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room{};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  head.msg_control = room.data();
  head.msg_controllen = room.size();
  const ssize_t n = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
  if (n <= 0) return out;
  out.size = static_cast<size_t>(n);
  const cmsghdr* beside = CMSG_FIRSTHDR(&head);
  if (beside == nullptr || beside->cmsg_type != SCM_RIGHTS) return out;
  const size_t count = std::min<size_t>(2, (beside->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  std::array<int, 2> raw{-1, -1};
  std::memcpy(raw.data(), CMSG_DATA(beside), count * sizeof(int));
  for (size_t i = 0; i < count; ++i) out.fds[i] = OwnedFd(raw[i]);
  return out;
}

}  // namespace hnv
