import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One node of Elasticsearch on a free loopback port, until standard input ends.
 *
 * <p>It starts as the distribution's does, but without its launcher, which refuses to run as root.
 *
 * <p>Argument: a folder with {@code config} and {@code modules}. The HTTP address is written to the
 * file {@code address} in it.
 */
public class ElasticsearchNode {
  public static void main(String[] arguments) throws Exception {
    Path home = Path.of(arguments[0]).toAbsolutePath();
    Settings settings =
        Settings.builder()
            .put("path.home", home)
            .put("cluster.name", "tailrace-interop")
            .put("node.name", "interop")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", "0")
            .put("transport.port", "0")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    LogConfigurator.configureESLogging();
    Environment environment = new Environment(settings, home.resolve("config"));
    PluginsLoader plugins =
        PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()), Set.of(), Map.of(), false);
    try (Node node = new Node(environment, plugins)) {
      node.start();
      HttpServerTransport http = node.injector().getInstance(HttpServerTransport.class);
      Path part = home.resolve("address.part");
      Files.writeString(part, http.boundAddress().publishAddress().toString());
      Files.move(part, home.resolve("address"), StandardCopyOption.ATOMIC_MOVE);
      while (System.in.read() >= 0) {
        // Whoever started this closes its end when it is done, or dies.
      }
    }
  }
}
