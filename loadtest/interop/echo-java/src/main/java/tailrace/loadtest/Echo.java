package tailrace.loadtest;

import com.sun.management.OperatingSystemMXBean;
import io.grpc.Attributes;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServerTransportFilter;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;

/**
 * A server of grpc-java that answers with what it is sent: see {@code echo/echo.proto}.
 *
 * <p>Messages are bytes that it does not look into. It prints its address, and, once its standard
 * input is closed, one line of JSON: calls and messages that reached it, connections, and the
 * processor time that they took. Flags are {@code name=value}; all have a default.
 */
public final class Echo {
  private static final int ANSWERS = 5;
  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] message) {
          return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream message) {
          try {
            return message.readAllBytes();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        }
      };

  private final LongAdder calls = new LongAdder();
  private final LongAdder messages = new LongAdder();
  private final LongAdder connections = new LongAdder();

  private Echo() {}

  /** Serves until standard input is closed. */
  public static void main(String[] arguments) throws IOException, InterruptedException {
    Map<String, String> flags = new HashMap<>();
    for (String argument : arguments) {
      int equals = argument.indexOf('=');
      if (equals < 0) {
        throw new IllegalArgumentException(argument + " is no name=value");
      }
      flags.put(argument.substring(0, equals), argument.substring(equals + 1));
    }
    Echo echo = new Echo();
    Server server = echo.server(flags).build().start();
    System.out.println("127.0.0.1:" + server.getPort());
    while (System.in.read() >= 0) {
      // Whoever started it says no more than that it has to end.
    }
    server.shutdownNow().awaitTermination();
    System.out.println(echo.told());
  }

  private NettyServerBuilder server(Map<String, String> flags) {
    NettyServerBuilder builder =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .addService(service())
            .addTransportFilter(
                new ServerTransportFilter() {
                  @Override
                  public Attributes transportReady(Attributes attributes) {
                    connections.increment();
                    return attributes;
                  }
                });
    if (flags.containsKey("cert")) {
      builder.useTransportSecurity(new File(flags.remove("cert")), new File(flags.remove("key")));
    }
    if (Boolean.parseBoolean(flags.remove("gzip"))) {
      builder.intercept(new Gzip());
    }
    // Defaults are grpc-java's own.
    for (Map.Entry<String, String> flag : flags.entrySet()) {
      int value = Integer.parseInt(flag.getValue());
      switch (flag.getKey()) {
        case "max_streams" -> builder.maxConcurrentCallsPerConnection(value);
        case "max_age_ms" -> builder.maxConnectionAge(value, TimeUnit.MILLISECONDS);
        case "initial_window" -> builder.initialFlowControlWindow(value);
        case "fixed_window" -> builder.flowControlWindow(value);
        case "max_message" -> builder.maxInboundMessageSize(value);
        default -> throw new IllegalArgumentException("there is no flag " + flag.getKey());
      }
    }
    return builder;
  }

  private ServerServiceDefinition service() {
    return ServerServiceDefinition.builder("tailrace.loadtest.Echo")
        .addMethod(method("Say", MethodType.UNARY), ServerCalls.asyncUnaryCall(this::say))
        .addMethod(
            method("Collect", MethodType.CLIENT_STREAMING),
            ServerCalls.asyncClientStreamingCall(this::collect))
        .addMethod(
            method("Repeat", MethodType.SERVER_STREAMING),
            ServerCalls.asyncServerStreamingCall(this::repeat))
        .addMethod(
            method("Chat", MethodType.BIDI_STREAMING),
            ServerCalls.asyncBidiStreamingCall(this::chat))
        .build();
  }

  private static MethodDescriptor<byte[], byte[]> method(String name, MethodType type) {
    return MethodDescriptor.<byte[], byte[]>newBuilder(BYTES, BYTES)
        .setType(type)
        .setFullMethodName(MethodDescriptor.generateFullMethodName("tailrace.loadtest.Echo", name))
        .build();
  }

  private void say(byte[] message, StreamObserver<byte[]> answers) {
    calls.increment();
    messages.increment();
    answers.onNext(message);
    answers.onCompleted();
  }

  private void repeat(byte[] message, StreamObserver<byte[]> answers) {
    calls.increment();
    messages.increment();
    for (int place = 0; place < ANSWERS; place++) {
      answers.onNext(message);
    }
    answers.onCompleted();
  }

  private StreamObserver<byte[]> collect(StreamObserver<byte[]> answers) {
    calls.increment();
    return new Reading(answers) {
      private byte[] last = new byte[0];

      @Override
      void handle(byte[] message) {
        last = message;
      }

      @Override
      public void onCompleted() {
        answers.onNext(last);
        answers.onCompleted();
      }
    };
  }

  private StreamObserver<byte[]> chat(StreamObserver<byte[]> answers) {
    calls.increment();
    return new Chat((ServerCallStreamObserver<byte[]>) answers);
  }

  private String told() {
    OperatingSystemMXBean machine =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return String.format(
        "{\"calls\": %d, \"messages\": %d, \"connections\": %d, \"processor_seconds\": %.3f}",
        calls.sum(), messages.sum(), connections.sum(), machine.getProcessCpuTime() / 1e9);
  }

  private abstract class Reading implements StreamObserver<byte[]> {
    private final StreamObserver<byte[]> answers;

    Reading(StreamObserver<byte[]> answers) {
      this.answers = answers;
    }

    abstract void handle(byte[] message);

    @Override
    public void onNext(byte[] message) {
      messages.increment();
      handle(message);
    }

    @Override
    public void onError(Throwable error) {
      // The caller is gone: there is nobody to tell.
    }

    @Override
    public void onCompleted() {
      answers.onCompleted();
    }
  }

  /** Answers each message, and asks for the next one only once the caller takes answers. */
  private final class Chat extends Reading {
    private final ServerCallStreamObserver<byte[]> answers;
    // Calls back come one at a time, so nothing here needs a lock.
    private boolean mayAsk = true;

    Chat(ServerCallStreamObserver<byte[]> answers) {
      super(answers);
      this.answers = answers;
      answers.disableAutoRequest();
      answers.setOnReadyHandler(this::ask);
    }

    @Override
    void handle(byte[] message) {
      answers.onNext(message);
      mayAsk = true;
      ask();
    }

    private void ask() {
      if (mayAsk && answers.isReady()) {
        mayAsk = false;
        answers.request(1);
      }
    }
  }

  private static final class Gzip implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      call.setCompression("gzip");
      return next.startCall(call, headers);
    }
  }
}
