// SPDX-License-Identifier: Apache-2.0
#include "bgp/listeners.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "compartments/owned_fd.h"

namespace hnv {
namespace {

constexpr unsigned kListen = 10;  // TCP_LISTEN

tl::unexpected<Error> fault() {
  return fail(ErrorCode::internal, fmt::format("looking for listeners: {}", std::strerror(errno)));
}

Result<uint32_t> count_of(int diag, uint8_t family, uint16_t port) {
  struct {
    nlmsghdr head;
    inet_diag_req_v2 body;
  } request{};
  request.head = {sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0};
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << kListen;
  if (send(diag, &request, sizeof request, 0) < 0) return fault();
  uint32_t count = 0;
  alignas(nlmsghdr) std::array<char, 32'768> answer{};
  for (;;) {
    const ssize_t n = recv(diag, answer.data(), answer.size(), 0);
    if (n < 0) return fault();
    auto left = static_cast<unsigned>(n);
    for (const auto* at = reinterpret_cast<const nlmsghdr*>(answer.data()); NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE) return count;
      if (at->nlmsg_type == NLMSG_ERROR) {
        nlmsgerr verdict{};
        std::memcpy(&verdict, NLMSG_DATA(at), sizeof verdict);
        errno = -verdict.error;
        return fault();
      }
      inet_diag_msg one{};
      std::memcpy(&one, NLMSG_DATA(at), sizeof one);
      if (ntohs(one.id.idiag_sport) == port) ++count;
    }
    if (n == 0) return count;
  }
}

}  // namespace

Result<uint32_t> count_listeners(uint16_t port) {
  const OwnedFd diag(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!diag) return fault();
  auto four = count_of(diag.get(), AF_INET, port);
  if (!four) return four;
  auto six = count_of(diag.get(), AF_INET6, port);
  if (!six) return six;
  return *four + *six;
}

}  // namespace hnv
