// SPDX-License-Identifier: Apache-2.0
//
// A vty whose answers are given beforehand, in a thread of its own.
#pragma once

#include <array>
#include <map>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/owned_fd.h"

namespace hnv {

class FakeBgpd {
 public:
  struct Answer {
    std::string text;
    char code = 0;
  };
  explicit FakeBgpd(std::map<std::string, Answer> answers) : answers_(std::move(answers)) {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    theirs_ = OwnedFd(ends[0]);
    own_ = OwnedFd(ends[1]);
    thread_ = std::thread([this] { serve(); });
  }
  FakeBgpd(const FakeBgpd&) = delete;
  FakeBgpd& operator=(const FakeBgpd&) = delete;
  FakeBgpd(FakeBgpd&&) = delete;
  FakeBgpd& operator=(FakeBgpd&&) = delete;
  ~FakeBgpd() { (void)asked(); }

  // The other end, once.
  OwnedFd connection() { return std::move(theirs_); }
  // Every command that came; waits until the connection was let go.
  const std::vector<std::string>& asked() {
    if (thread_.joinable()) {
      theirs_ = OwnedFd();
      thread_.join();
    }
    return asked_;
  }

 private:
  void serve() {
    std::string waiting;
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t n = read(own_.get(), buffer.data(), buffer.size());
      if (n <= 0) return;
      waiting.append(buffer.data(), static_cast<size_t>(n));
      for (size_t end = waiting.find('\0'); end != std::string::npos; end = waiting.find('\0')) {
        const std::string command = waiting.substr(0, end);
        waiting.erase(0, end + 1);
        asked_.push_back(command);
        const auto found = answers_.find(command);
        const Answer answer = found == answers_.end() ? Answer{"{\n}\n"} : found->second;
        std::string out = answer.text + std::string(3, '\0') + answer.code;
        if (send(own_.get(), out.data(), out.size(), MSG_NOSIGNAL) < 0) return;
      }
    }
  }

  const std::map<std::string, Answer> answers_;
  OwnedFd theirs_;
  OwnedFd own_;
  std::vector<std::string> asked_;
  std::thread thread_;
};

}  // namespace hnv
