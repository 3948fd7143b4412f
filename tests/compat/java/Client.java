import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.pusher.client.Pusher;
import com.pusher.client.PusherOptions;
import com.pusher.client.channel.PresenceChannelEventListener;
import com.pusher.client.channel.PrivateChannelEventListener;
import com.pusher.client.channel.PrivateEncryptedChannelEventListener;
import com.pusher.client.channel.ChannelEventListener;
import com.pusher.client.channel.PusherEvent;
import com.pusher.client.channel.User;
import com.pusher.client.connection.ConnectionEventListener;
import com.pusher.client.connection.ConnectionState;
import com.pusher.client.connection.ConnectionStateChange;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Obeys one JSON command a line and reports one JSON object a line. */
public final class Client implements ConnectionEventListener {
    private static final Gson GSON = new Gson();

    private final JsonObject settings;
    private final Pusher pusher;

    private Client(JsonObject settings) {
        this.settings = settings;
        PusherOptions options = new PusherOptions()
            .setHost(text("host"))
            .setWsPort(settings.get("port").getAsInt())
            .setUseTLS(false)
            .setChannelAuthorizer(this::authorize)
            .setUserAuthenticator(this::authenticate);
        pusher = new Pusher(text("key"), options);
        // Only its success tells that the library has done all that it does once connected;
        // a channel added before that is subscribed twice.
        pusher.subscribe("ready", new Listener());
        pusher.connect(this, ConnectionState.ALL);
    }

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(JsonParser.parseString(arguments[0]).getAsJsonObject());
        BufferedReader input =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            client.obey(JsonParser.parseString(line).getAsJsonObject());
        }
        System.exit(0);
    }

    private void obey(JsonObject command) {
        String channel = command.has("channel") ? command.get("channel").getAsString() : "";
        String event = command.has("event") ? command.get("event").getAsString() : "";
        switch (command.get("command").getAsString()) {
            case "subscribe" -> subscribe(channel, event);
            case "trigger" ->
                pusher.getPresenceChannel(channel).trigger(event, command.get("data").getAsString());
            case "signin" -> {
                pusher.user().bind(event, this::onEvent);
                pusher.signin();
            }
            case "offers" -> {
                String name = command.get("name").getAsString();
                boolean offered = Stream.of(Pusher.class, com.pusher.client.user.User.class)
                    .flatMap(type -> Stream.of(type.getMethods()))
                    .anyMatch(method -> method.getName().equals(name));
                print(Map.of("answer", "offers", "value", offered));
            }
            default -> throw new IllegalArgumentException(command.toString());
        }
    }

    private void subscribe(String channel, String event) {
        if (channel.startsWith("private-encrypted-")) {
            pusher.subscribePrivateEncrypted(channel, new EncryptedListener(), event);
        } else if (channel.startsWith("private-")) {
            pusher.subscribePrivate(channel, new PrivateListener(), event);
        } else if (channel.startsWith("presence-")) {
            pusher.subscribePresence(channel, new PresenceListener(), event);
        } else {
            pusher.subscribe(channel, new Listener(), event);
        }
    }

    private String authorize(String channel, String socketId) {
        Map<String, String> answer = new TreeMap<>();
        String signed = socketId + ":" + channel;
        if (channel.startsWith("presence-")) {
            JsonObject member = new JsonObject();
            member.addProperty("user_id", settings.getAsJsonObject("user").get("id").getAsString());
            member.add("user_info", settings.getAsJsonObject("user").get("user_info"));
            answer.put("channel_data", GSON.toJson(member));
            signed += ":" + GSON.toJson(member);
        }
        if (channel.startsWith("private-encrypted-")) {
            answer.put("shared_secret", sharedSecret(channel));
        }
        boolean forged = settings.getAsJsonArray("forged").contains(new JsonPrimitive(channel));
        answer.put("auth", text("key") + ":" + sign(forged ? signed + "forged" : signed));
        return GSON.toJson(answer);
    }

    private String authenticate(String socketId) {
        String user = GSON.toJson(settings.get("user"));
        String auth = text("key") + ":" + sign(socketId + "::user::" + user);
        return GSON.toJson(Map.of("auth", auth, "user_data", user));
    }

    private String sign(String message) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(text("secret").getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
            byte[] digest = mac.doFinal(message.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (java.security.GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private String sharedSecret(String channel) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(channel.getBytes(StandardCharsets.UTF_8));
            digest.update(Base64.getDecoder().decode(text("masterKey")));
            return Base64.getEncoder().encodeToString(digest.digest());
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private String text(String setting) {
        return settings.get(setting).getAsString();
    }

    private static void report(String on, String event, Object data) {
        Map<String, Object> report = new TreeMap<>(Map.of("on", on, "event", event));
        report.put("data", data);
        print(report);
    }

    private static synchronized void print(Map<String, Object> report) {
        byte[] line = (GSON.toJson(report) + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(line, 0, line.length);
        System.out.flush();
    }

    @Override
    public void onConnectionStateChange(ConnectionStateChange change) {
        String socketId = pusher.getConnection().getSocketId();
        report("connection", change.getCurrentState().toString().toLowerCase(), socketId);
    }

    @Override
    public void onError(String message, String code, Exception exception) {
        report("connection", "error", code + " " + message + " " + exception);
    }

    private void onEvent(PusherEvent event) {
        report(event.getChannelName(), event.getEventName(), event.getData());
    }

    private class Listener implements ChannelEventListener {
        @Override
        public void onSubscriptionSucceeded(String channel) {
            report(channel, "subscribed", null);
        }

        @Override
        public void onEvent(PusherEvent event) {
            Client.this.onEvent(event);
        }
    }

    private class PrivateListener extends Listener implements PrivateChannelEventListener {
        @Override
        public void onAuthenticationFailure(String message, Exception exception) {
            report("connection", "error", message + " " + exception);
        }
    }

    private final class EncryptedListener extends PrivateListener
            implements PrivateEncryptedChannelEventListener {
        @Override
        public void onDecryptionFailure(String event, String reason) {
            report("connection", "error", event + " " + reason);
        }
    }

    private final class PresenceListener extends PrivateListener
            implements PresenceChannelEventListener {
        @Override
        public void onUsersInformationReceived(String channel, Set<User> users) {
            Map<String, String> members = new TreeMap<>();
            users.forEach(user -> members.put(user.getId(), user.getInfo()));
            report(channel, "members", members);
        }

        @Override
        public void userSubscribed(String channel, User user) {
            report(channel, "added", user.getId());
        }

        @Override
        public void userUnsubscribed(String channel, User user) {
            report(channel, "removed", user.getId());
        }
    }
}
